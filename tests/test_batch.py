"""Many files: which are meant, what they become, and what a failure leaves."""

import concurrent.futures
import errno
import os
import pathlib
import signal
import threading
import time

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import many_files, planning, startup
from bmshj_minnen.photographs import outputs
from tests import codecs, trees

_SUFFIXES = frozenset((".png", ".jpg"))


@pytest.fixture
def tree(tmp_path, monkeypatch):
  """The working directory, with some files in folders."""
  monkeypatch.chdir(tmp_path)
  names = [
    "in/a.png",
    "in/B.JPG",
    "in/notes.txt",
    "in/.hidden.png",
    "in/a.png.12.tmp",
    "in/.12.tmp",
    "in/sub/a.png",
    "in/sub/deep/c.d.png",
    "in/.folder/e.png",
    "in/folder.png/f.png",
    "in/odd[1].png",
    "other/g.jpg",
  ]
  trees.make(tmp_path, names)
  return tmp_path


def _plan(*paths, output_dir="out", **options):
  return planning.make_plan(planning.Request(paths, output_dir, **options), _SUFFIXES, ".bin")


@pytest.mark.parametrize(
  ("paths", "recursive", "expected"),
  [
    (["in"], False, {"in/a.png": "a", "in/B.JPG": "B", "in/odd[1].png": "odd[1]"}),
    (
      ["in"],
      True,
      {
        "in/a.png": "a",
        "in/B.JPG": "B",
        "in/odd[1].png": "odd[1]",
        "in/sub/a.png": "sub/a",
        "in/sub/deep/c.d.png": "sub/deep/c.d",
        "in/folder.png/f.png": "folder.png/f",
      },
    ),
    (["in/", "./in"], False, {"in/a.png": "a", "in/B.JPG": "B", "in/odd[1].png": "odd[1]"}),
    (["in/a.png", "other"], False, {"in/a.png": "a", "other/g.jpg": "g"}),
    (["in/notes.txt"], False, {"in/notes.txt": "notes"}),  # Who names it means it.
    (["in/missing.png"], False, {"in/missing.png": "missing"}),  # To fail by itself.
    (["in/odd[1].png"], False, {"in/odd[1].png": "odd[1]"}),  # A name before a pattern.
    (["in/a*"], False, {"in/a.png": "a"}),
    (["*/g.*"], False, {"other/g.jpg": "other/g"}),
    (
      ["in/**/*.png"],
      False,
      {
        "in/a.png": "a",
        "in/odd[1].png": "odd[1]",
        "in/sub/a.png": "sub/a",
        "in/sub/deep/c.d.png": "sub/deep/c.d",
        "in/folder.png/f.png": "folder.png/f",
      },
    ),
  ],
)
def test_which_files_become_what(tree, paths, recursive, expected):
  plan = _plan(*paths, recursive=recursive)
  assert {job.source: job.target for job in plan.jobs} == {
    source: f"out/{place}.bin" for source, place in expected.items()
  }
  assert len(plan.jobs) == len(expected)
  absolute = [os.path.join(tree, path) for path in paths]
  plan = _plan(*absolute, recursive=recursive)
  assert {os.path.relpath(job.source): job.target for job in plan.jobs} == {
    source: f"out/{place}.bin" for source, place in expected.items()
  }


def test_one_file_needs_no_folder(tree):
  plan = _plan("in/a.png", "x.bin", output_dir=None)
  assert plan.jobs == [planning.Job("in/a.png", "x.bin")] and not plan.is_folder


@pytest.mark.parametrize(
  ("paths", "options", "words"),
  [
    (["in/a.png", "in/sub/a.png"], {}, ["in/a.png", "in/sub/a.png", "out/a.bin", "rename"]),
    (["in", "in/sub/a.png"], {}, ["in/a.png", "in/sub/a.png", "out/a.bin"]),
    (["*/missing*"], {}, ["no file matches */missing*"]),
    (["in/.12.tmp"], {}, ["no file matches"]),
    ([], {}, ["give files"]),
    (["in/a.png"], {"output_dir": None}, ["--output_dir"]),
    (["in", "x.bin"], {"output_dir": None}, ["--output_dir"]),
    (["in/a.png", "in/B.JPG"], {"output_dir": None}, ["in/B.JPG would be overwritten"]),
    (["in/notes.txt", "in/notes.txt"], {"output_dir": None}, ["one of the sources"]),
  ],
)
def test_what_makes_no_sense_is_told_in_one_line(tree, paths, options, words):
  with pytest.raises(ValueError) as caught:
    _plan(*paths, **{"output_dir": "out", **options})
  assert "\n" not in str(caught.value)
  for word in words:
    assert word in str(caught.value)
  assert not os.path.exists("out")


def test_a_folder_without_photographs_names_what_helps(tree):
  os.mkdir("empty")
  with pytest.raises(ValueError, match=r"empty: no file ends in .jpg, .png; --recursive"):
    _plan("empty")


def test_sources_are_never_results(tree):
  os.rename("other/g.jpg", "in/a.bin")
  with pytest.raises(ValueError, match=r"in/a.bin is one of the sources"):
    _plan("in/a.png", "in/a.bin", output_dir="in")


def test_what_exists_is_skipped_if_asked(tree):
  os.mkdir("out")
  pathlib.Path("out/a.bin").touch()
  pathlib.Path("out/.7.tmp").touch()  # Of a killed run: not a result.
  assert len(_plan("in").jobs) == 3
  plan = _plan("in", skip_existing=True)
  assert [job.source for job in plan.jobs] == ["in/B.JPG", "in/odd[1].png"]
  assert plan.existing == 1


# Running.


def _read(path, note):
  content = pathlib.Path(path).read_bytes()
  note(f"{path}: read")
  return content


def _work(convert=lambda content: content, write=outputs.write_atomically):
  return many_files.Work(_read, lambda content, progress: (convert(content), []), write)


def _results():
  return {str(p): p.read_bytes() for p in pathlib.Path("out").rglob("*") if p.is_file()}


@pytest.mark.parametrize("parallel", [1, 2, 7])
def test_every_file_is_done_once(tree, parallel, capsys):
  plan = _plan("in", recursive=True)
  outcome = many_files.run(plan, _work(bytes.upper), parallel, "shouted")
  assert (outcome.done, outcome.failed) == (6, 0)
  assert _results() == {job.target: job.source.encode().upper() for job in plan.jobs}
  captured = capsys.readouterr()
  assert captured.out.startswith("shouted 6 of 6 files in ") and captured.out.count("\n") == 1
  notes = sorted(f"note: {job.source}: read" for job in plan.jobs)
  assert sorted(captured.err.splitlines()) == notes


def test_a_failure_costs_one_line_and_the_others_nothing(tree, capsys):
  def convert(content):
    if content == b"in/a.png":
      raise ValueError("of two\nlines")
    if content == b"in/B.JPG":
      raise ZeroDivisionError("a defect")
    return content

  paths = ("in", "in/missing.png")
  outcome = many_files.run(_plan(*paths), _work(convert), 2, "done")
  assert (outcome.done, outcome.failed) == (1, 3)
  assert list(_results()) == ["out/odd[1].bin"]
  captured = capsys.readouterr()
  assert sorted(line for line in captured.err.splitlines() if "note" not in line) == [
    "error: in/B.JPG: ZeroDivisionError: a defect",
    "error: in/a.png: of two lines",
    "error: in/missing.png: No such file or directory",
  ]
  assert captured.out.endswith(", 3 failed\n")


def test_a_full_disk_ends_the_run(tree, capsys):
  """Other files could not be written either; the run need not tell so of each."""

  def write(target, content):
    if "a.bin" in target:
      raise OSError(errno.ENOSPC, "No space left on device", target)
    outputs.write_atomically(target, content)

  outcome = many_files.run(_plan("in", recursive=True), _work(write=write), 1, "done")
  assert (outcome.done, outcome.failed) == (1, 1)  # B comes before a.
  assert list(_results()) == ["out/B.bin"]
  captured = capsys.readouterr()
  assert "error: in/a.png: out/a.bin: No space left on device\n" in captured.err
  assert captured.out.endswith("1 failed, 4 not tried\n")


@pytest.fixture
def ctrl_c():
  """Shells start background jobs with SIGINT ignored, and Python leaves it at that."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_is_complete(tree, capsys):
  interrupted = threading.Event()

  def convert(content):
    if content == b"in/a.png":
      signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
      interrupted.set()
      time.sleep(0.5)  # The main thread has time to tell the others.
    return content

  plan = _plan("in", recursive=True)
  with pytest.raises(SystemExit) as exit_, startup.one_line_errors():
    many_files.run(plan, _work(convert), 1, "done")
  assert exit_.value.code == 130
  assert interrupted.is_set()
  # The file in hand was finished, no other was begun.
  assert _results() == {"out/B.bin": b"in/B.JPG", "out/a.bin": b"in/a.png"}
  captured = capsys.readouterr()
  assert captured.err.splitlines()[-1] == "interrupted"
  assert captured.out.endswith("4 not tried\n") and "Traceback" not in captured.err


def test_a_codec_serves_several_threads_at_once(tmp_path):
  serial, _ = codecs.make_codec("joint", tmp_path)
  crops = [codecs.photograph(40 + 9 * i, 150 - 9 * i) for i in range(8)]
  files = [serial.compress(crop) for crop in crops]
  pictures = [serial.decompress(file) for file in files]
  fresh = bmshj_minnen.load(tmp_path / "joint")  # With nothing traced yet.
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(fresh.compress, crops)) == files
    for picture, expected in zip(pool.map(fresh.decompress, files), pictures):
      np.testing.assert_array_equal(picture, expected)
