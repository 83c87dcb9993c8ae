"""Files of measurements: odd names, byte order marks, other programs' line ends."""

import os
import shutil

import pytest

import bmshj_minnen
from bmshj_minnen.evaluation import measurements, measuring, rate_tables, subjects
from tests import codecs

# Line ends of `str.splitlines` but not of CSV, characters that CSV quotes, Markdown's separator.
_ODD = ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", '"', ",", ";", " ", "|")


def _row(codec, setting, image):
  figures = (180, 200, 5000, 1.1, 30.0, 0.9, 10.0, 0.1, 0.2)
  return measurements.Row(codec, setting, "v", image, "0", *figures)


def test_names_read_back(tmp_path):
  path = tmp_path / "images.csv"
  table = measurements.Table(path)
  table.drop_outdated({}, {})
  for odd in _ODD:
    for name in (odd, f"a{odd}b", f"{odd}{odd}b{odd}"):
      table.add(_row(f"c{name}", f"s{name}", f"{name}.png"))
  assert measurements.read_rows(path) == table.rows
  measurements.Table(path).drop_outdated({}, {})
  assert measurements.read_rows(path) == table.rows
  lines = rate_tables.averages(table.rows[:6]).splitlines()[2:]
  assert len(lines) == 8 and {line.replace("\\|", "").count("|") for line in lines} == {9}


def test_tables_that_other_programs_saved_are_read(tmp_path):
  path = tmp_path / "images.csv"
  table = measurements.Table(path)
  table.drop_outdated({}, {})
  table.add(_row("jpeg420", "20", "ü.png"))
  table.add(_row("jpeg420", "30", "ü.png"))
  content = path.read_bytes()
  path.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
  again = measurements.Table(path)
  assert again.rows == table.rows
  again.drop_outdated({}, {})
  assert path.read_bytes() == content
  path.write_bytes(content[:-1] + "ü".encode("latin1") + b"\n")
  with pytest.raises(ValueError, match="not a table of evaluations"):
    measurements.read_rows(path)
  path.write_bytes(content[:-1] + b"x\n")
  with pytest.raises(ValueError, match="line 3, is damaged: delete the line"):
    measurements.read_rows(path)


def test_rows_that_stand_twice_count_once(tmp_path):
  """Two evaluations that ran at once in an earlier version left such tables."""
  path = tmp_path / "images.csv"
  table = measurements.Table(path)
  table.drop_outdated({}, {})
  rows = [_row("jpeg420", setting, "a.png") for setting in ("20", "30")]
  for row in rows:
    table.add(row)
  content = path.read_text()
  path.write_text(content + content.partition("\n")[2].replace("5000", "4000"))
  found = measurements.read_rows(path)
  assert [(row.setting, row.bytes) for row in found] == [("20", 4000), ("30", 4000)]
  measurements.Table(path).drop_outdated({}, {})
  assert path.read_text().count("\n") == 3


def test_photographs_of_odd_names_are_measured_once(tmp_path):
  names = [f"a{odd}b.png" for odd in _ODD]
  for name in names:
    bmshj_minnen.write_image(str(tmp_path / name), codecs.photograph(24, 24))
  config = measuring.EvaluationConfig(
    str(tmp_path / "*.png"), str(tmp_path / "out"), codecs=["jpeg420"], qualities=[30]
  )
  (entry,) = measuring.evaluate(config)
  assert (entry["images"], entry["ms_ssim_images"]) == (len(names), 0)
  content = (tmp_path / "out" / measuring.TABLE).read_bytes()
  rows = measurements.read_rows(tmp_path / "out" / measuring.TABLE)
  assert sorted(row.image for row in rows) == sorted(names)
  measuring.evaluate(config)
  assert (tmp_path / "out" / measuring.TABLE).read_bytes() == content


@pytest.mark.parametrize(
  "name, reason",
  [
    ("a\nb", "holds a line end: rename it"),
    ("a\rb", "holds a line end: rename it"),
    (os.fsdecode(b"a\xff"), "is not UTF-8: rename it"),
  ],
)
def test_names_that_tables_cannot_hold_are_refused_before_anything_is_measured(
  name, reason, tmp_path
):
  bmshj_minnen.write_image(str(tmp_path / "ok.png"), codecs.photograph(24, 24))
  shutil.copy(tmp_path / "ok.png", tmp_path / f"{name}.png")
  config = measuring.EvaluationConfig(
    str(tmp_path / "*.png"), str(tmp_path / "out"), codecs=["jpeg420"]
  )
  with pytest.raises(ValueError, match=f"the name 'a.*png' {reason}") as error:
    measuring.evaluate(config)
  assert str(error.value).isascii() and not (tmp_path / "out").exists()
  codecs.make_codec("joint", tmp_path)
  shutil.copytree(tmp_path / "joint", tmp_path / "models" / name)
  for models, label in ([str(tmp_path / "models" / name)], ""), ([str(tmp_path / "joint")], name):
    config = subjects.EvaluationConfig("", "", models=models, label=label)
    with pytest.raises(ValueError, match=f"the name '.*' {reason}"):
      subjects.find_contenders(config)
