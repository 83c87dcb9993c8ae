"""A corpus through Beam: the bytes of the command line, failures with reasons, restarts."""

import csv
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen.corpus import outcome as outcomes
from bmshj_minnen.corpus import pipeline, tasks
from bmshj_minnen.photographs import images
from experiments.robustness import sample_files
from tests import codecs, trees

_ROOT = pathlib.Path(__file__).parent.parent


# A link to nowhere is no file, and Beam lists none.
_BAD = {name: words for name, words in sample_files.BAD.items() if name != "dangling.png"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  codecs.make_codec("joint", folder)
  codecs.make_codec("factorized", folder)
  return folder / "joint"


@pytest.fixture(scope="module")
def codec(model):
  return bmshj_minnen.load(model)


def _rows(output, name):
  with open(output / f"{name}.csv", newline="", encoding="utf-8") as file:
    return sorted(csv.DictReader(file), key=lambda row: row["source"])


def _run(task, output, *inputs, arguments=()):
  corpus = pipeline.Corpus(tuple(map(str, inputs)), str(output))
  return pipeline.run(corpus, task, "DirectRunner", list(arguments))


def _photographs(folder, names):
  for i, name in enumerate(names):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    bmshj_minnen.write_image(str(path), codecs.photograph(30 + i, 40 + 3 * i))


@pytest.fixture(scope="module")
def kinds(model, tmp_path_factory):
  """A folder with a file of each kind, compressed: source, output and what was counted."""
  folder = tmp_path_factory.mktemp("kinds")
  (folder / "in" / "sub").mkdir(parents=True)
  sample_files.make_files(folder / "in" / "sub")
  outcome = _run(tasks.Compression(str(model)), folder / "out", folder / "in")
  return folder / "in", folder / "out", outcome


def test_every_file_is_what_compress_makes_and_stands_in_the_manifest(kinds, codec):
  source, output, outcome = kinds
  rows = _rows(output, "manifest")
  good = sorted(source / "sub" / name for name in sample_files.GOOD)
  assert [row["source"] for row in rows] == list(map(str, good))
  for row, path in zip(rows, good):
    image = images.read_image(str(path))
    data = (output / row["file"]).read_bytes()
    assert data == codec.compress(image)
    assert row["file"] == f"sub/{path.stem}.tfci"
    assert (int(row["height"]), int(row["width"])) == image.shape[:2]
    assert float(row["bpp"]) == pytest.approx(8 * len(data) / image[..., 0].size, abs=1e-4)
    assert int(row["bytes"]) == len(data) and int(row["source_bytes"]) == path.stat().st_size
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
  assert outcome == outcomes.Outcome(
    files=len(rows),
    failures=len(_BAD),
    bytes_in=sum(int(row["source_bytes"]) for row in rows),
    bytes_out=sum(int(row["bytes"]) for row in rows),
  )


def test_every_bad_file_is_reported_with_its_reason(kinds):
  source, output, _ = kinds
  rows = _rows(output, "failures")
  expected = {str(source / "sub" / name): words for name, words in _BAD.items()}
  assert {row["source"] for row in rows} == set(expected)
  for row in rows:
    assert expected[row["source"]] in row["reason"] and "\n" not in row["reason"]


def test_a_restart_makes_what_is_missing_and_keeps_the_rest(kinds, model, tmp_path):
  source, first, _ = kinds
  output = tmp_path / "out"
  shutil.copytree(first, output)
  names = sorted(p.relative_to(output) for p in output.rglob("*.tfci"))
  (output / names[0]).unlink()
  (output / names[1]).write_bytes((first / names[1]).read_bytes()[:-1])
  (output / "manifest.csv").unlink()
  before = {name: (output / name).stat().st_mtime_ns for name in names[2:]}
  outcome = _run(tasks.Compression(str(model)), output, source)
  assert (outcome.files, outcome.existing) == (2, len(names) - 2)
  assert outcome.failures == len(_BAD)
  assert before == {name: (output / name).stat().st_mtime_ns for name in names[2:]}
  for name in names:
    assert (output / name).read_bytes() == (first / name).read_bytes()
  for table in ("manifest", "failures"):
    assert _rows(output, table) == _rows(first, table)


def test_results_of_another_model_are_not_overwritten(kinds, model, tmp_path):
  source, first, _ = kinds
  output = tmp_path / "out"
  shutil.copytree(first, output)
  other = tasks.Compression(str(model.parent / "factorized"))
  outcome = _run(other, output, source / "sub" / "rgb.png", source / "sub" / "grey.png")
  # These two go elsewhere, as they were named: below no folder.
  assert (outcome.files, outcome.failures) == (2, 0)
  outcome = _run(other, output, source)
  assert outcome.files == 0 and outcome.existing == 0
  assert (
    "another model"
    in {r["source"]: r for r in _rows(output, "failures")}[str(source / "sub" / "rgb.png")][
      "reason"
    ]
  )
  data = (first / "sub" / "rgb.tfci").read_bytes()
  assert (output / "sub" / "rgb.tfci").read_bytes() == data


def test_decompressing_gives_the_photographs_of_the_codec(kinds, model, codec, tmp_path):
  _, compressed, _ = kinds
  source = tmp_path / "in"
  shutil.copytree(compressed, source)
  (source / "bad.tfci").write_bytes(b"BMM")
  task = tasks.Decompression(str(model))
  outcome = _run(task, tmp_path / "out", source)
  rows = _rows(tmp_path / "out", "manifest")
  assert (outcome.files, outcome.failures) == (len(sample_files.GOOD), 1) == (len(rows), 1)
  (failure,) = _rows(tmp_path / "out", "failures")
  assert failure["source"].endswith("bad.tfci") and "truncated" in failure["reason"]
  for row in rows:
    data = pathlib.Path(row["source"]).read_bytes()
    with PIL.Image.open(tmp_path / "out" / row["file"]) as image:
      np.testing.assert_array_equal(np.asarray(image), codec.decompress(data))
    assert float(row["bpp"]) == pytest.approx(
      8 * len(data) / int(row["width"]) / int(row["height"]), abs=1e-4
    )
  (tmp_path / "out" / rows[0]["file"]).unlink()
  shutil.copy(tmp_path / "out" / "sub" / "pixel.png", tmp_path / "out" / rows[1]["file"])
  again = _run(task, tmp_path / "out", source)
  assert (again.files, again.existing) == (2, len(rows) - 2)
  assert _rows(tmp_path / "out", "manifest") == rows


@dataclasses.dataclass(frozen=True)
class _Lengths:
  """A task without a codec: a file becomes its length in decimal; `log` tells of each load."""

  log: str = os.devnull
  suffixes: ClassVar = frozenset((".png",))
  new_suffix: ClassVar = ".txt"
  compresses: ClassVar = True

  def load(self):
    with open(self.log, "a") as file:
      print("loaded", file=file)
    time.sleep(0.1)  # So that threads would overlap.
    return len

  def convert(self, codec, path, content):
    time.sleep(0.01)
    return str(codec(content)).encode(), 1, 1

  def finished(self, codec, path, result):
    return (1, 1) if result.isdigit() else None


@pytest.fixture
def tree(tmp_path):
  folder = tmp_path / "photos"
  names = ["a.png", "b.PNG", "c.txt", "x/d.png", "x/y/e.png", ".hidden/f.png", "g.png.12.tmp"]
  trees.make(folder, names)
  return folder


@pytest.mark.parametrize(
  "pattern, files",
  [
    ("", "a b x/d x/y/e"),
    ("/", "a b x/d x/y/e"),
    ("/**", "a b c x/d x/y/e"),
    ("/**/*.png", "a x/d x/y/e"),
    ("/x/*.png", "d"),
    ("/*/y/*", "x/y/e"),
    ("/x/y/e.png", "e"),
  ],
)
def test_inputs_and_places_are_those_of_the_command_line(tree, pattern, files, monkeypatch):
  monkeypatch.chdir(tree.parent)  # Relative paths do as well.
  output = tree.parent / "out"
  _run(_Lengths(), output, f"photos{pattern}")
  made = {str(p.relative_to(output))[:-4] for p in output.rglob("*.txt")}
  assert made == set(files.split())


def test_a_corpus_without_files_has_tables(tmp_path):
  trees.make(tmp_path / "in", ["a.txt"])
  assert _run(_Lengths(), tmp_path / "out", tmp_path / "in") == outcomes.Outcome()
  assert _rows(tmp_path / "out", "manifest") == _rows(tmp_path / "out", "failures") == []


def test_results_below_the_input_are_no_sources(tree):
  for existing in (0, 5):
    outcome = _run(_Lengths(), tree / "out", tree / "**")
    assert (outcome.files, outcome.existing) == (5 - existing, existing)


def test_sources_of_one_result_and_strange_names_are_reported(tree):
  for name in (
    "a.jpg",
    'comma, "quote" and\nline.png',
    "re\rturn\u2028.png",
    "ü.png",
    os.fsdecode(b"\xff.png"),
  ):
    (tree / name).write_bytes(b"")
  outcome = _run(_Lengths(), tree.parent / "out", tree / "*")
  rows = _rows(tree.parent / "out", "manifest")
  assert {pathlib.Path(row["source"]).name for row in rows} == {
    "b.PNG",
    "c.txt",
    'comma, "quote" and\nline.png',
    "re\rturn\u2028.png",
    "ü.png",
  }
  assert (outcome.files, outcome.failures) == (5, 3)
  failures = {
    pathlib.Path(r["source"]).name: r["reason"] for r in _rows(tree.parent / "out", "failures")
  }
  assert "a.png" in failures["a.jpg"] and "a.jpg" in failures["a.png"]
  assert "UTF-8" in failures["\\udcff.png"]


def test_the_codec_is_loaded_once_to_check_it_and_once_a_worker(tree):
  for i in range(30):
    (tree / f"{i}.png").write_text("")
  log = tree.parent / "log"
  arguments = ["--direct_num_workers=4", "--direct_running_mode=multi_threading"]
  outcome = _run(_Lengths(str(log)), tree.parent / "out", tree, arguments=arguments)
  assert outcome.files == 34
  assert log.read_text() == "loaded\n" * 2


def test_what_cannot_be_written_ends_the_run(tree):
  (tree.parent / "out").write_text("a file")
  with pytest.raises(OSError, match="out/"):
    _run(_Lengths(), tree.parent / "out", tree)


@pytest.mark.parametrize(
  "pattern, arguments, words",
  [
    ("/*.webp", [], "no file matches .*webp"),
    ("/empty", [], "no file matches .*empty"),
    ("", ["--modle=x"], "unknown argument --modle=x"),
    ("", ["photos"], "unknown argument photos"),
  ],
)
def test_wrong_arguments_are_one_line(tree, pattern, arguments, words):
  with pytest.raises(ValueError, match=words) as caught:
    _run(_Lengths(), tree.parent / "out", f"{tree}{pattern}", arguments=arguments)
  assert "\n" not in str(caught.value)


def _start(program, *arguments):
  return subprocess.Popen(
    [sys.executable, "-m", f"bmshj_minnen.{program}", *map(str, arguments)],
    cwd=_ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_killed_and_restarted(model, codec, tmp_path):
  source, output = tmp_path / "in", tmp_path / "out"
  _photographs(source, [f"{i}.png" for i in range(40)])
  (source / "bad.png").write_text("no picture")
  command = ["beam_compress", f"--input={source}", f"--output={output}", f"--model={model}"]
  process = _start(*command)
  while len(list(output.glob("*.tfci"))) < 3:
    assert process.poll() is None
    time.sleep(0.001)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  done = {path: path.stat().st_mtime_ns for path in output.glob("*.tfci")}
  assert len(done) < 40
  process = _start(*command)
  stdout, stderr = process.communicate()
  assert process.returncode == 1, stderr
  assert f"{len(done)} were there already, 1 failed" in stdout
  for path, modified in done.items():
    assert path.stat().st_mtime_ns == modified
  for i in range(40):
    expected = codec.compress(codecs.photograph(30 + i, 40 + 3 * i))
    assert (output / f"{i}.tfci").read_bytes() == expected
  assert len(_rows(output, "manifest")) == 40
  assert [row["source"] for row in _rows(output, "failures")] == [str(source / "bad.png")]
