"""Nightly runs of `compress --update` and its companions: what is done again, kept, copied."""

import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import (
  archive,
  files,
  manifest,
  many_files,
  planning,
  prometheus,
  run_records,
)
from bmshj_minnen.file_tools import outputs
from tests import codecs, programs

_ONNX = "--runtime=onnx"  # Starts at once.


@pytest.fixture
def folder(tmp_path):
  """A folder with `photos`: a.png, b.png, deep/c.png."""
  (tmp_path / "photos" / "deep").mkdir(parents=True)
  for i, name in enumerate(("a.png", "b.png", "deep/c.png")):
    _photograph(tmp_path / "photos" / name, i)
  return tmp_path


def _photograph(path, shift, time=1_000_000_000):
  bmshj_minnen.write_image(str(path), np.roll(codecs.photograph(40, 48), 5 * shift, 0))
  os.utime(path, (time + shift, time + shift))


def _compress(folder, *flags, status=0, program="compress", source="photos", target="small"):
  log = folder / "run.jsonl"
  flags = (_ONNX, "--recursive", f"--output_dir={target}", f"--log={log}", *flags)
  result = programs.run(program, *flags, source, cwd=folder)
  assert result.returncode == status, result.stderr
  lines = [json.loads(line) for line in log.read_text().splitlines()]
  done = {line["source"] for line in lines if line["ok"] and not line.get("existing")}
  return {os.path.relpath(path, source) for path in done}, result


def _rows(folder, target="small"):
  with open(folder / target / "manifest.csv", newline="") as file:
    return {row["file"]: row for row in csv.DictReader(file)}


def _sha256(path):
  return hashlib.sha256(path.read_bytes()).hexdigest()


# The rule, with a conversion that needs no codec.


def _update(folder, request="q=1", overwrite=False, update=True, status=0, source="photos"):
  """Runs a conversion of a folder; the sources that were converted, and lines on stderr."""
  asked = planning.Request((str(folder / source),), str(folder / "small"), True, not update)
  asked = dataclasses.replace(asked, update=update)
  suffixes = frozenset((".png", ".bmp"))
  plan = planning.make_plan(asked, suffixes, ".tfci")
  done = []

  def convert(content, progress, facts):
    facts.update(width=2, height=3, bytes=len(content))
    return content[::-1], list

  def write(target, data, path):
    outputs.write_atomically(target, data, path)
    done.append(os.path.relpath(path, folder / source))

  def read(path, note):
    return pathlib.Path(path).read_bytes()

  def is_done(source, target):
    return {"width": 2, "height": 3, "bytes": os.path.getsize(source)}

  work = many_files.Work(read, convert, write, is_done, request)
  rows = archive.Archive(str(folder / "small"), overwrite) if update else None
  outcome = many_files.run(plan, work, 2, "done", run_records.Records(rows=rows))
  assert outcome.status(True) == status and len(set(done)) == len(done)
  return set(done)


def test_only_what_changed_is_done_again(folder, capsys):
  photos, small = folder / "photos", folder / "small"
  assert _update(folder) == {"a.png", "b.png", "deep/c.png"}
  rows = _rows(folder)
  assert set(rows) == {"a.tfci", "b.tfci", "deep/c.tfci"}
  for place, row in rows.items():
    source = pathlib.Path(row["source"])
    assert row["sha256"] == _sha256(small / place) and row["source_sha256"] == _sha256(source)
    assert row["bytes"] == str((small / place).stat().st_size) and row["request"] == "q=1"
  assert _update(folder) == set()
  # Another content with the size and time of the old one; a touched photograph; a new one.
  (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[::-1])
  os.utime(photos / "a.png", (1_000_000_000,) * 2)
  os.utime(photos / "b.png", (1_100_000_000,) * 2)
  _photograph(photos / "d.png", 3)
  (photos / "deep" / "c.png").unlink()
  capsys.readouterr()
  assert _update(folder) == {"a.png", "d.png"}
  line = f"note: results kept whose sources are gone: 1, such as {photos}/deep/c.png"
  assert line in capsys.readouterr().err.splitlines()
  assert (small / "deep" / "c.tfci").exists() and "deep/c.tfci" in _rows(folder)
  # The result of the touched photograph has its time now, so that `verify` accepts it.
  assert (small / "b.tfci").stat().st_mtime == 1_100_000_000
  assert _update(folder) == set()


def test_sources_are_read_only_if_size_and_times_do_not_suffice(folder, monkeypatch):
  _update(folder)
  read, whole = [], files.read
  monkeypatch.setattr(files, "read", lambda path: (read.append(path), whole(path))[1])
  os.utime(folder / "photos" / "b.png", (1_100_000_000,) * 2)
  assert _update(folder) == set()
  sources = [os.path.basename(path) for path in read if path.endswith(".png")]
  assert sources == ["b.png"]


def test_damage_another_request_and_lost_results_are_done_again(folder):
  small = folder / "small"
  _update(folder)
  times = (small / "a.tfci").stat()
  (small / "a.tfci").write_bytes((small / "a.tfci").read_bytes()[::-1])
  os.utime(small / "a.tfci", ns=(times.st_atime_ns, times.st_mtime_ns))
  (small / "b.tfci").unlink()
  assert _update(folder) == {"a.png", "b.png"}
  assert _update(folder, "q=2") == {"a.png", "b.png", "deep/c.png"}
  assert _update(folder, "q=2") == set()
  assert all(row["request"] == "q=2" for row in _rows(folder).values())


def test_exchanged_results_are_done_again(folder):
  small = folder / "small"
  _update(folder)
  contents = [(small / name).read_bytes() for name in ("a.tfci", "b.tfci")]
  for name, content in zip(("b.tfci", "a.tfci"), contents):
    times = (small / name).stat()
    (small / name).write_bytes(content)
    os.utime(small / name, ns=(times.st_atime_ns, times.st_mtime_ns))
  assert _update(folder) == {"a.png", "b.png"}


def test_an_archive_that_was_copied_elsewhere_is_up_to_date(folder):
  _update(folder)
  shutil.copytree(folder, folder / "copy", ignore=shutil.ignore_patterns("copy"))
  for path in (folder / "copy").rglob("*.*"):
    os.utime(path)  # All times are lost.
  assert _update(folder / "copy") == set()
  assert _update(folder / "copy", update=False) == set()  # Times were taken over.


def test_a_run_that_was_killed_loses_no_row_and_no_result(folder, capsys):
  _update(folder)
  table = folder / "small" / "manifest.csv"
  table.write_text(table.read_text()[:-5])  # A torn last line.
  assert _update(folder) == set() and len(_rows(folder)) == 3
  # Without a row, times and header decide, and a note says that they do not show everything.
  table.unlink()
  note = "note: results kept without a record: 3; their time, size and header do not show all flags"
  for update in (True, False):
    capsys.readouterr()
    assert _update(folder, update=update) == set()
    assert note in capsys.readouterr().out
  # They have rows from then on.
  assert len(_rows(folder)) == 3 and _update(folder) == set()
  assert note not in capsys.readouterr().out and _update(folder, "q=2") != set()


def test_rows_are_there_as_soon_as_their_results(folder, monkeypatch):
  monkeypatch.setattr(archive.Archive, "close", lambda self: None)  # As if killed before.
  _update(folder)
  assert len(_rows(folder)) == 3


def test_a_result_of_another_photograph_is_not_replaced(folder, capsys):
  _update(folder)
  os.rename(folder / "photos" / "a.png", folder / "photos" / "a.bmp")
  (folder / "photos" / "a.bmp").write_bytes(b"another")
  before = (folder / "small" / "a.tfci").read_bytes()
  assert _update(folder, status=1) == set()
  line = f"a.tfci was made of another source, {folder}/photos/a.png: --overwrite replaces it"
  assert line in capsys.readouterr().err
  assert (folder / "small" / "a.tfci").read_bytes() == before
  assert _update(folder, overwrite=True) == {"a.bmp"}


# The programs.


def test_tables_of_other_programs_stay(folder):
  (folder / "small").mkdir()
  (folder / "small" / "manifest.csv").write_text("a,b\n1,2\n")
  result = programs.run("compress", _ONNX, "--update", "--output_dir=small", "photos", cwd=folder)
  assert result.returncode == 2 and "manifest.csv is there already" in result.stderr
  assert (folder / "small" / "manifest.csv").read_text() == "a,b\n1,2\n"


def test_pictures_are_updated_too(folder):
  """A picture of the run may be replaced, as the manifest proves; an edited one may not."""
  _compress(folder, "--update")
  decompress = {"program": "decompress", "source": "small", "target": "back"}
  done, result = _compress(folder, "--update", **decompress)
  assert len(done) == 3 and "left out" not in result.stderr
  path = folder / "back" / "a.png"
  content = path.read_bytes()
  _flip(path, len(content) // 2)
  assert _compress(folder, "--update", **decompress)[0] == {"a.tfci"}
  assert path.read_bytes() == content
  _compress(folder, "--update", "--quality=30")
  _flip(path, len(content) // 2, keeps_time=False)
  changed = path.read_bytes()
  done, result = _compress(folder, "--update", **decompress, status=1)
  assert done == {"b.tfci", "deep/c.tfci"}
  assert "a.png is there already" in result.stderr and path.read_bytes() == changed


def test_beam_and_the_programs_continue_each_other_and_beam_makes_damaged_results_again(folder):
  pytest.importorskip("apache_beam")
  photos, small = folder / "photos", folder / "small"
  beam = [f"--input={photos}", f"--output={small}"]
  result = programs.run("beam_compress", *beam, eager=True)
  assert "compressed 3 files" in result.stdout, result.stdout + result.stderr
  _photograph(photos / "deep" / "c.png", 7)
  flags = (_ONNX, "--recursive", "--update", f"--output_dir={small}", photos)
  result = programs.run("compress", *flags)
  assert result.stdout.startswith("compressed 1 of 1 files"), result.stdout + result.stderr
  before = {name: (small / f"{name}.tfci").read_bytes() for name in ("a", "b", "deep/c")}
  _photograph(photos / "a.png", 6)
  _flip(small / "b.tfci", 0)
  result = programs.run("beam_compress", *beam, eager=True)
  assert "compressed 2 files" in result.stdout and "1 were there already" in result.stdout
  same = {name: (small / f"{name}.tfci").read_bytes() == data for name, data in before.items()}
  assert same == {"a": False, "b": True, "deep/c": True}


def test_photographs_smaller_than_their_results_are_named_and_copied_if_asked(folder):
  photos, small = folder / "photos", folder / "small"
  PIL.Image.new("RGB", (64, 64), "red").save(photos / "flat.png")  # 100 bytes or so.
  (photos / "b.png").unlink()
  done, result = _compress(folder, "--update", "--quality=100")
  larger = "1 larger than their sources, which --keep_smaller copies"
  assert "flat.png" in done and larger in result.stdout and (small / "flat.tfci").exists()
  single = programs.run("compress", _ONNX, "--quality=100", photos / "flat.png", folder / "x.tfci")
  assert "flat.png is smaller than its result" in single.stderr and single.returncode == 0
  # Only the small one is done again; its compressed file goes.
  flags = ("--update", "--keep_smaller", "--quality=100")
  done, result = _compress(folder, *flags)
  assert done == {"flat.png"} and "1 copied" in result.stdout
  assert (small / "flat.png").read_bytes() == (photos / "flat.png").read_bytes()
  assert not (small / "flat.tfci").exists()
  assert set(_rows(folder)) == {"a.tfci", "deep/c.tfci", "flat.png"}
  assert _compress(folder, *flags)[0] == set()
  assert _compress(folder, "--skip_existing", "--keep_smaller", "--quality=100")[0] == set()
  # A copy is as good as a compressed file.
  result = programs.run("verify", "--recursive", f"--sources={photos}", small)
  assert result.returncode == 0, result.stderr
  # It goes when the photograph does not remain small.
  _photograph(photos / "flat.png", 9)
  assert _compress(folder, *flags)[0] == {"flat.png"}
  assert (small / "flat.tfci").exists() and not (small / "flat.png").exists()


def test_copies_replace_no_file_of_others(folder):
  PIL.Image.new("RGB", (64, 64), "red").save(folder / "photos" / "flat.png")
  (folder / "small").mkdir()
  (folder / "small" / "flat.png").write_bytes(b"of another program")
  _, result = _compress(folder, "--keep_smaller", "--quality=100", status=1)
  assert "flat.png is there already" in result.stderr
  assert (folder / "small" / "flat.png").read_bytes() == b"of another program"


def test_flags_of_folders_are_refused_for_files(folder):
  for flag in ("--update", "--keep_smaller"):
    result = programs.run("compress", flag, "photos/a.png", "a.tfci", cwd=folder)
    assert result.returncode == 1 and f"{flag} is for --output_dir" in result.stderr


def _flip(path, position, keeps_time=True):
  """Flips a bit of a byte."""
  status, data = path.stat(), bytearray(path.read_bytes())
  data[position] ^= 1
  path.write_bytes(data)
  if keeps_time:
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_damaged_result_is_made_again(folder):
  assert len(_compress(folder, "--update")[0]) == 3
  _flip(folder / "small" / "a.tfci", 0)  # The first byte shows that a file is compressed.
  _flip(folder / "small" / "b.tfci", -1)
  assert _compress(folder, "--update")[0] == {"a.png", "b.png"}


def test_statuses_show_whether_anything_was_done(folder):
  bad = folder / "bad"
  bad.mkdir()
  (bad / "x.png").write_bytes(b"no picture")
  assert _compress(folder, source="bad", status=2)[0] == set()
  shutil.copy(folder / "photos" / "a.png", bad)
  assert _compress(folder, source="bad", status=1)[0] == {"a.png"}
  result = programs.run("compress", "--output_dir=out", "missing/*", cwd=folder)
  assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


_SABOTAGE = """
import sys
from bmshj_minnen.coding import codec
whole = codec.Codec._unpack
def wrong(self, data, timed, progress):
  header, latents = whole(self, data, timed, progress)
  latents.y_hat.flat[5] += 1
  return header, latents
if {wrong}:
  codec.Codec._unpack = wrong
from bmshj_minnen import compress
compress.run()
"""


@pytest.mark.parametrize("wrong", [False, True])
def test_a_file_that_decodes_wrongly_is_not_written(folder, wrong):
  program, log = _SABOTAGE.format(wrong=wrong), folder / "run.jsonl"
  (folder / "small").mkdir()
  flags = (_ONNX, "--verify", "--output_dir=small", f"--log={log}", "photos/a.png")
  result = programs.run(program, *flags, cwd=folder)
  (line,) = map(json.loads, log.read_text().splitlines())
  assert result.returncode == 2 * wrong, result.stderr
  assert os.listdir(folder / "small") == ([] if wrong else ["a.tfci"])
  assert line["ok"] != wrong
  assert ("decodes to other latents" in result.stderr) == wrong and line.get("verified") != wrong


def test_metrics_are_prometheus_text(folder):
  (folder / "photos" / "bad.png").write_bytes(b"")
  _, result = _compress(folder, "--metrics=run.prom", status=1)
  text = (folder / "run.prom").read_text()
  sample = re.compile(r'([a-z_]+)\{([a-z]+="[a-z ]+",?)+\} ([0-9.e+-]+)')
  values = {}
  for line in text.splitlines():
    if not line.startswith("#"):
      assert sample.fullmatch(line), line
      name, _, value = line.rpartition(" ")
      values[name] = float(value)
  assert values['bmshj_run_files{program="compress",outcome="done"}'] == 3
  assert values['bmshj_run_files{program="compress",outcome="failed"}'] == 1
  total = sum(path.stat().st_size for path in (folder / "small").rglob("*.tfci"))
  assert values['bmshj_run_compressed_bytes{program="compress"}'] == total
  assert values['bmshj_run_pixels{program="compress"}'] == 3 * 40 * 48
  assert values['bmshj_run_end_time_seconds{program="compress"}'] > 1.7e9
  for name in {name.partition("{")[0] for name in values}:
    assert (
      text.index(f"# HELP {name} ") < text.index(f"# TYPE {name} gauge") < text.index(f"{name}{{")
    )


def test_labels_are_quoted():
  figure = prometheus.Figure("x", "gauge", "A figure.", {('a"\\\n',): 1.5}, ("name",))
  assert prometheus.text_of([figure]).splitlines()[-1] == 'x{name="a\\"\\\\\\n"} 1.5'


def test_verify_finds_exchanged_and_stale_files_by_the_manifest(folder):
  small, photos = folder / "small", folder / "photos"
  _compress(folder, "--update")
  command = ("--recursive", f"--sources={photos}", small)
  assert programs.run("verify", *command).returncode == 0
  for name in ("a", "b"):  # Exchanged, with the times of the others.
    shutil.copy(small / f"{name}.tfci", folder / name)
  for name, other in (("a", "b"), ("b", "a")):
    status = (small / f"{name}.tfci").stat()
    (small / f"{name}.tfci").write_bytes((folder / other).read_bytes())
    os.utime(small / f"{name}.tfci", ns=(status.st_atime_ns, status.st_mtime_ns))
  status = (photos / "deep" / "c.png").stat()  # Changed, with its time.
  shutil.copy(photos / "a.png", photos / "deep" / "c.png")
  os.utime(photos / "deep" / "c.png", ns=(status.st_atime_ns, status.st_mtime_ns))
  result = programs.run("verify", *command)
  assert result.returncode == 1 and len(result.stderr.splitlines()) == 3
  assert result.stderr.count("is not the file that manifest.csv lists") == 2
  assert "deep/c.tfci: is not of" in result.stderr and "its content is another" in result.stderr
  (small / "a.tfci").unlink()
  result = programs.run("verify", "--recursive", small)
  assert f"error: {small}/a.tfci: is in the manifest, but gone" in result.stderr


def test_a_name_that_the_manifest_cannot_list_costs_one_line(folder):
  shutil.copy(folder / "photos" / "a.png", os.fsencode(folder / "photos") + b"/z\xff.png")
  _, result = _compress(folder, "--update", status=1)
  assert "compressed 3 of 4 files" in result.stdout
  assert "its name is not UTF-8, as manifest.csv needs: rename it" in result.stderr
  assert len(archive.records_of(folder / "small")) == 3


def test_a_manifest_that_cannot_be_written_stops_the_run_before_it_begins(folder):
  (folder / "small" / "manifest.csv").mkdir(parents=True)
  flags = (_ONNX, "--update", f"--output_dir={folder / 'small'}", folder / "photos")
  result = programs.run("compress", *flags)
  assert result.returncode == 2
  assert result.stderr.endswith("manifest.csv is a folder, not a table: move it away\n")
  assert [path.name for path in (folder / "small").iterdir()] == ["manifest.csv"]


def test_only_whole_rows_of_a_killed_run_count():
  sizes, origin = (9, 5, 4, 3), ("a" * 64, "b" * 64, "quality=50.0, odd")
  cells = [manifest.cells_of((f"{name}.png", f"{name}.tfci"), sizes, 5, origin) for name in "ab"]
  head, first, last = (manifest.csv_line(row).encode() for row in (manifest.COLUMNS, *cells))
  for cut in range(len(last) + 1):
    rows = manifest.parse(head + first + last[:cut])
    assert [row["file"] for row in rows] == ["a.tfci", "b.tfci"][: 1 + (cut == len(last))], cut
    assert all(row["request"] == origin[2] for row in rows)
  assert manifest.parse(head) == manifest.parse(head[:-1]) == []
  for other in (b"", head[:-2], b"a,b\n1,2\n", head + b'"' + first):
    assert manifest.parse(other) is None
