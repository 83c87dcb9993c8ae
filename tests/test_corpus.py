"""A corpus with Beam: the same bytes as the command line, failures with reasons, restarts."""

import csv
import hashlib
import os
import pathlib
import re
import shutil
import signal
import time

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen.corpus import file_rows as outcomes
from bmshj_minnen.corpus import pipeline, tasks
from bmshj_minnen.format import fields
from bmshj_minnen.images import image_files
from experiments.reliability import sample_files
from tests import codecs, programs

# Each run loads its codec anew, whose graphs would take longer to trace than to run.
pytestmark = pytest.mark.usefixtures("module_eagerly")

# Beam does not list a dangling link.
_BAD = {name: words for name, words in sample_files.BAD.items() if name != "dangling.png"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """A model whose prior has two latents, and a factorized one beside it."""
  folder = tmp_path_factory.mktemp("models")
  for prior in ("scale_hyperprior", "factorized"):
    codecs.save_model(prior, folder / prior)
  return folder / "scale_hyperprior"


@pytest.fixture(scope="module")
def codec(model):
  return bmshj_minnen.load(model)


def _rows(output, name):
  with open(output / f"{name}.csv", newline="", encoding="utf-8") as file:
    return sorted(csv.DictReader(file), key=lambda row: row["source"])


def _run(task, output, *inputs, **options):
  corpus = pipeline.Corpus(tuple(map(str, inputs)), str(output), **options)
  return pipeline.run(corpus, task, "DirectRunner", [])


def _photographs(folder, names):
  for i, name in enumerate(names):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    bmshj_minnen.write_image(str(path), codecs.photograph(30 + i, 40 + 3 * i))


@pytest.fixture(scope="module")
def kinds(model, tmp_path_factory):
  """A folder with a file of each kind, compressed: source, output and counts."""
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
    image = image_files.read_image(str(path))
    data = (output / row["file"]).read_bytes()
    assert data == codec.compress(image)
    assert row["file"] == f"sub/{path.stem}.tfci"
    assert (int(row["height"]), int(row["width"])) == image.shape[:2]
    assert float(row["bpp"]) == pytest.approx(8 * len(data) / image[..., 0].size, abs=1e-4)
    assert int(row["bytes"]) == len(data) and int(row["source_bytes"]) == path.stat().st_size
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert row["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row["request"] == f"model={codec.fingerprint.hex()}"
  assert outcome == outcomes.CorpusOutcome(
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


def test_results_of_another_model_are_made_again(kinds, model, tmp_path):
  """`compress --skip_existing` does the same: this program can write them again."""
  source, first, _ = kinds
  output = tmp_path / "out"
  shutil.copytree(first, output)
  other = tasks.Compression(str(model.parent / "factorized"))
  outcome = _run(other, output, source / "sub" / "rgb.png", source / "sub" / "grey.png")
  # These two go elsewhere: they were named without a folder.
  assert (outcome.files, outcome.failures) == (2, 0)
  outcome = _run(other, output, source)
  assert (outcome.files, outcome.existing) == (len(sample_files.GOOD), 0)
  image = image_files.read_image(str(source / "sub" / "rgb.png"))
  expected = bmshj_minnen.load(model.parent / "factorized").compress(image)
  assert (output / "sub" / "rgb.tfci").read_bytes() == expected


def test_decompressing_gives_the_photographs_of_the_codec(kinds, model, codec, tmp_path):
  _, compressed, _ = kinds
  source = tmp_path / "in"
  shutil.copytree(compressed, source)
  (source / "bad.tfci").write_bytes(fields.MAGIC)
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
  edited = tmp_path / "out" / rows[1]["file"]
  shutil.copy(tmp_path / "out" / "sub" / "pixel.png", edited)
  again = _run(task, tmp_path / "out", source)
  assert (again.files, again.existing, again.failures) == (1, len(rows) - 2, 2)
  assert _rows(tmp_path / "out", "manifest") == rows
  (failure,) = [row for row in _rows(tmp_path / "out", "failures") if row != failure]
  assert failure["source"] == rows[1]["source"] and "--overwrite replaces it" in failure["reason"]
  again = _run(task, tmp_path / "out", source, overwrite=True)
  assert (again.files, again.existing, again.failures) == (1, len(rows) - 1, 1)
  assert hashlib.sha256(edited.read_bytes()).hexdigest() == rows[1]["sha256"]


@pytest.mark.parametrize(
  ("program", "arguments", "line"),
  [
    (
      "beam_compress",
      ["--input=in", "--output=x", "--psnr=nan"],
      "--psnr must be above 0, not nan",
    ),
    ("beam_decompress", ["--input=in", "--output=x", "--model=no"], "no model no.*"),
    ("beam_compress", ["--input=in", "--output=x", "--alpha=red"], "flag --alpha=red: .*"),
    ("beam_compress", ["--input=in", "--output=x", "--jobs=3"], "unknown argument --jobs=3"),
  ],
)
def test_programs_refuse_in_one_line(program, arguments, line, tmp_path):
  _photographs(tmp_path / "in", ["a.png"])
  result = programs.run(program, *arguments, cwd=tmp_path)
  assert (result.returncode, result.stdout) == (1, "")
  assert re.fullmatch(f"error: {line}\n", result.stderr)
  assert os.listdir(tmp_path) == ["in"] and os.listdir(tmp_path / "in") == ["a.png"]


_INTERRUPTED = """
import os, signal, sys
from bmshj_minnen import beam_compress
from bmshj_minnen.corpus import tasks
number = int(sys.argv.pop())
tasks.Compression.convert = lambda *_: os.kill(os.getpid(), number)
beam_compress.run()
"""


@pytest.mark.parametrize(
  ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_run_ends_in_one_line(number, status, model, tmp_path):
  """The files are converted in the main thread, where Beam would make another error of it."""
  _photographs(tmp_path / "photos", ["a.png"])
  flags = [f"--model={model}", f"--input={tmp_path}/photos", f"--output={tmp_path}/small"]
  result = programs.run(_INTERRUPTED, *flags, int(number))
  assert (result.returncode, result.stdout, result.stderr) == (status, "", "interrupted\n")


def test_killed_and_restarted(model, codec, tmp_path):
  source, output = tmp_path / "in", tmp_path / "out"
  _photographs(source, [f"{i}.png" for i in range(25)])
  (source / "bad.png").write_text("no picture")
  command = ["beam_compress", f"--input={source}", f"--output={output}", f"--model={model}"]
  process = programs.start(*command, eager=True)
  while len(list(output.glob("*.tfci"))) < 3:
    assert process.poll() is None
    time.sleep(0.001)
  process.kill()
  assert process.wait() == -signal.SIGKILL
  done = {path: path.stat().st_mtime_ns for path in output.glob("*.tfci")}
  assert len(done) < 25
  result = programs.run(*command, eager=True)
  assert result.returncode == 1, result.stderr
  assert f"{len(done)} were there already, 1 failed" in result.stdout
  for path, modified in done.items():
    assert path.stat().st_mtime_ns == modified
  for i in range(25):
    expected = codec.compress(codecs.photograph(30 + i, 40 + 3 * i))
    assert (output / f"{i}.tfci").read_bytes() == expected
  assert len(_rows(output, "manifest")) == 25
  assert [row["source"] for row in _rows(output, "failures")] == [str(source / "bad.png")]
