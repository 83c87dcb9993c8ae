"""Many files: selected sources, their results, and the state after a failure."""

import concurrent.futures
import contextlib
import dataclasses
import errno
import glob
import io
import json
import os
import pathlib
import signal
import sys
import threading
import time

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import (
  console,
  many_files,
  planning,
  run_log,
  run_metrics,
  run_records,
  startup,
)
from bmshj_minnen.file_tools import globs, outputs
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


def _plan(*paths, output_dir="out", problem=lambda target: None, **options):
  request = planning.Request(paths, output_dir, **options)
  return planning.make_plan(request, _SUFFIXES, ".bin", problem)


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
    (["in/notes.txt"], False, {"in/notes.txt": "notes"}),  # Named explicitly.
    (["in/missing.png"], False, {"in/missing.png": "missing"}),  # Fails alone.
    (["in/odd[1].png"], False, {"in/odd[1].png": "odd[1]"}),  # A name, not a pattern.
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
    (["-"], {}, ["- is standard input"]),
    (["in/a.png", ""], {"output_dir": None, "problem": lambda t: f"{t!r} refused"}, ["'' refused"]),
    (["in"], {"output_dir": ""}, ["--output_dir is empty"]),
    (["in"], {"output_dir": "in/a.png/x"}, ["in/a.png is not a folder"]),
    (["*/missing*"], {}, ["no file matches */missing*"]),
    (["in/.12.tmp"], {}, ["no file matches"]),
    ([], {}, ["give files"]),
    (["in/a.png"], {"output_dir": None}, ["--output_dir"]),
    (["in", "x.bin"], {"output_dir": None}, ["--output_dir"]),
    (["in/a.png", "in/B.JPG"], {"output_dir": None}, ["in/B.JPG would be overwritten"]),
    (["", "x.bin"], {"output_dir": None}, ["the name of the file is empty"]),
    ([""], {}, ["the name of a file or folder is empty"]),
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


def test_what_a_folder_holds_besides_is_counted(tree, capsys):
  for name in ("in/b.psd", "in/c.psd", "in/README", "in/sub/d.svg"):
    (tree / name).write_bytes(b"")
  (tree / "in" / "linked").symlink_to(tree / "other")
  (line,) = _plan("in").notes
  assert "left out: 4 (" in line and "2 .psd" in line and "1 .txt" in line
  assert "1 without a suffix" in line and "linked" not in line
  (line,) = _plan("in", recursive=True).notes
  assert "left out: 5 (" in line and "1 .svg" in line and "linked folders not followed: 1" in line
  assert _plan("other", "in/*.png").notes == ()
  many_files.run(_plan("in"), _work(), 1, "copied")
  assert f"note: {_plan('in').notes[0]}" in capsys.readouterr().err.splitlines()


def test_pipes_and_results_in_a_folder_are_not_taken(tree):
  os.mkfifo(tree / "in" / "p.png")
  plan = _plan("in")
  assert len(plan.jobs) == 3 and "pipes and devices left out: 1" in plan.notes[0]
  before = _plan("in", recursive=True).jobs
  trees.make(tree, ["in/results/deep/copied.png"])
  jobs = _plan("in", recursive=True, output_dir="./in/results").jobs
  assert {job.source for job in jobs} == {job.source for job in before}
  jobs = _plan("in/results", recursive=True, output_dir="in/results").jobs
  assert [job.source for job in jobs] == ["in/results/deep/copied.png"]


def test_a_folder_that_cannot_be_read_costs_one_line(tree, monkeypatch, capsys):
  scan = os.scandir

  def scandir(path):
    if os.path.basename(path) in ("sub", "closed"):
      raise PermissionError(errno.EACCES, "Permission denied", path)
    return scan(path)

  (tree / "closed").mkdir()
  monkeypatch.setattr(os, "scandir", scandir)
  plan = _plan("in", recursive=True)
  outcome = many_files.run(plan, _work(), 1, "copied")
  assert (outcome.done, outcome.failed, outcome.status(is_folder=True)) == (4, 1, 1)
  assert "error: in/sub: Permission denied\n" in capsys.readouterr().err
  with pytest.raises(ValueError, match="^closed: Permission denied$"):
    _plan("closed")


def test_results_may_go_to_the_current_folder(tree):
  assert many_files.run(_plan("in", output_dir="."), _work(), 1, "copied").failed == 0
  assert (tree / "a.bin").read_bytes() == b"in/a.png"


def test_a_name_of_two_lines_is_printed_in_one(tree, capsys):
  trees.make(tree, ["in/x\ny.png"])

  def convert(content):
    raise ValueError("odd")

  many_files.run(_plan("in/x\ny.png"), _work(convert), 1, "copied")
  assert capsys.readouterr().err.splitlines()[-1] == "error: in/x\\ny.png: odd"


def test_a_log_that_cannot_be_written_costs_no_file(tree, capsys):
  records = run_records.Records(run_log.RunLog("/dev/full"))
  outcome = many_files.run(_plan("in"), _work(), 2, "copied", records)
  assert (outcome.done, outcome.failed, outcome.status(is_folder=True)) == (3, 0, 1)
  captured = capsys.readouterr()
  assert captured.err.splitlines()[-1] == "error: /dev/full: No space left on device"
  assert captured.out.startswith("copied 3 of 3 files")


def test_logs_and_metrics_replace_their_own_kind_alone(tree):
  for flag, make, ending in (
    ("log", run_log.RunLog, "x"),
    ("metrics", run_metrics.RunMetrics, "y"),
  ):
    with pytest.raises(ValueError, match=f"--{flag}=in/a.png is another file, which would be lost"):
      make("in/a.png")
    assert (tree / "in" / "a.png").read_bytes() == b"in/a.png"
    with pytest.raises(ValueError, match=f"--{flag} is a file"):
      make("-")
    for _ in "12":
      record = run_records.Records(**{flag: make(ending)})
      record.add("a", ok=True)
      record.close()
  with pytest.raises(ValueError, match="--log=y is another file"):
    run_log.RunLog("y")


def test_results_of_a_pair_may_keep_the_whole_names(tree):
  trees.make(tree, ["in/a.jpg"])
  plan = _plan("in", keep_extensions=True)
  targets = {job.source: job.target for job in plan.jobs}
  assert targets["in/a.jpg"] == "out/a.jpg.bin" and targets["in/a.png"] == "out/a.png.bin"
  assert not plan.refusals


def test_sources_are_never_results(tree):
  os.rename("other/g.jpg", "in/a.bin")
  plan = _plan("in/a.png", "in/a.bin", "in/B.JPG", output_dir="in")
  assert [job.source for job in plan.jobs] == ["in/B.JPG"]
  (refusal,) = plan.refusals
  assert refusal.line.startswith("in/a.bin is one of the sources") and refusal.files == 2


def test_files_that_would_become_one_cost_one_line_and_the_others_nothing(tree, capsys):
  trees.make(tree, ["in/a.jpg", "in/c.png"])
  plan = _plan("in", "in/sub/a.png")
  assert [job.source for job in plan.jobs] == ["in/B.JPG", "in/c.png", "in/odd[1].png"]
  outcome = many_files.run(plan, _work(), 2, "done")
  assert (outcome.done, outcome.failed) == (3, 3)
  captured = capsys.readouterr()
  (line,) = [line for line in captured.err.splitlines() if line.startswith("error")]
  assert line.startswith("error: in/a.jpg, in/a.png and in/sub/a.png would become one file, out/a")
  assert captured.out.startswith("done 3 of 6 files") and captured.out.endswith(", 3 failed\n")


def test_what_is_known_to_fail_is_told_first_and_costs_nothing(tree, capsys):
  plan = _plan("in", problem=lambda target: "it is red" if target == "out/a.bin" else None)
  assert [job.source for job in plan.jobs] == ["in/B.JPG", "in/odd[1].png"]
  outcome = many_files.run(plan, _work(), 1, "done")
  assert (outcome.done, outcome.failed) == (2, 1)
  assert capsys.readouterr().err.splitlines()[0] == "error: in/a.png: it is red"


@pytest.mark.parametrize("pattern", ["l/**/*.png", "l/**", "**/a.png", "./**/a.p*"])
def test_links_in_circles_give_each_file_once(tree, pattern):
  trees.make(tree, ["l/a.png", "l/s/b.png"])
  for name in ("up", "again", "also"):
    os.symlink("..", f"l/s/{name}")
    os.symlink(".", f"l/{name}")
  found = [os.path.normpath(job.source) for job in _plan(pattern).jobs]
  assert found.count("l/a.png") == 1 and len(found) == len(set(map(os.path.realpath, found)))
  assert ("l/s/b.png" in found) == (pattern in ("l/**/*.png", "l/**"))


@pytest.mark.parametrize(
  "pattern", ["in/*", "in/**/*.png", "**", "**/*.png", "in/**/deep/**/*", "*/**/a*", "in/s*/**/*.*"]
)
def test_globs_mean_what_they_mean_in_python(tree, pattern):
  for path in (pattern, os.path.join(tree, pattern)):
    expected = {p for p in glob.glob(path, recursive=True) if os.path.isfile(p)}
    found = [p for p in globs.expand(path) if os.path.isfile(p)]
    assert found == sorted(expected) and found


def test_what_was_made_is_skipped_if_asked(tree, capsys):
  asked = []

  def is_done(source, target):
    asked.append(source)
    return source != "in/B.JPG"

  work = _work(is_done=is_done)
  outcome = many_files.run(_plan("in"), work, 1, "done")
  assert (outcome.done, outcome.existing, asked) == (3, 0, [])
  pathlib.Path("out/.7.tmp").touch()  # Left by a killed run, not a result.
  pathlib.Path("in/odd[1].png").write_bytes(b"another photograph")
  inode = os.stat("out/a.bin").st_ino
  outcome = many_files.run(_plan("in", skip_existing=True), work, 1, "done")
  assert (outcome.done, outcome.failed, outcome.existing) == (2, 0, 1)
  assert asked == ["in/B.JPG", "in/a.png"]  # odd[1].bin is older than its changed source.
  assert os.stat("out/a.bin").st_ino == inode
  assert pathlib.Path("out/odd[1].bin").read_bytes() == b"another photograph"
  last = capsys.readouterr().out.splitlines()[-1]
  assert last.startswith("done 2 of 2 files") and last.endswith("1 more were there already")


def test_a_source_that_changes_while_it_is_read_has_no_result(tree, capsys):
  """Its time would belong to the new source, and its content to the old one."""

  def convert(content):
    if content == b"in/a.png":
      pathlib.Path("in/a.png").write_bytes(b"another photograph")
    return content

  outcome = many_files.run(_plan("in"), _work(convert), 1, "done")
  assert (outcome.done, outcome.failed) == (2, 1)
  assert not os.path.exists("out/a.bin")
  assert "error: in/a.png: was changed while it was read: try again\n" in capsys.readouterr().err


# Running.


def _read(path, note):
  content = pathlib.Path(path).read_bytes()
  note(f"{path}: read")
  return content


def _work(
  convert=lambda content: content,
  write=outputs.write_atomically,
  is_done=lambda source, target: False,
  describe=list,
):
  def convert_and_describe(content, progress, facts):
    facts["bytes"] = len(content)
    return convert(content), describe

  return many_files.Work(_read, convert_and_describe, write, is_done)


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
  notes = [*plan.notes, *(f"{job.source}: read" for job in plan.jobs)]
  assert sorted(captured.err.splitlines()) == sorted(f"note: {note}" for note in notes)


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
  """Other files could not be written either; one message is enough."""

  def write(target, content, source):
    if "a.bin" in target:
      raise OSError(errno.ENOSPC, "No space left on device", target)
    outputs.write_atomically(target, content)

  outcome = many_files.run(_plan("in", recursive=True), _work(write=write), 1, "done")
  assert (outcome.done, outcome.failed) == (1, 1)  # B comes before a.
  assert list(_results()) == ["out/B.bin"]
  captured = capsys.readouterr()
  assert "error: in/a.png: out/a.bin: No space left on device\n" in captured.err
  assert captured.out.endswith("1 failed, 4 not tried\n")


def test_a_report_that_fails_costs_a_note_alone(tree, capsys):
  def describe():
    raise RuntimeError("no estimate")

  outcome = many_files.run(_plan("in"), _work(describe=describe), 2, "done")
  assert (outcome.done, outcome.failed) == (3, 0) and len(_results()) == 3
  assert "note: in/a.png: no report: RuntimeError: no estimate" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_streams_that_take_nothing_cost_no_file(tree, monkeypatch, name):
  class Full(io.StringIO):
    def write(self, text):
      raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(sys, name, Full())
  plan = _plan("in", "in/missing")
  # The summary, at the end, may mention it.
  with contextlib.suppress(OSError):
    many_files.run(plan, _work(describe=lambda: ["line"]), 1, "done")
  assert len(_results()) == 3


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_is_complete(tree, capsys):
  interrupted = threading.Event()

  def convert(content):
    if content == b"in/a.png":
      signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
      interrupted.set()
      time.sleep(0.5)  # Time for the main thread to notify the others.
    return content

  plan = _plan("in", recursive=True)
  with pytest.raises(SystemExit) as exit_, startup.one_line_errors():
    many_files.run(plan, _work(convert), 1, "done")
  assert exit_.value.code == 130
  assert interrupted.is_set()
  # The current file was finished, no other was started.
  assert _results() == {"out/B.bin": b"in/B.JPG", "out/a.bin": b"in/a.png"}
  captured = capsys.readouterr()
  assert captured.err.splitlines()[-1] == "interrupted"
  assert captured.out.endswith("4 not tried\n") and "Traceback" not in captured.err


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_file_in_hand_where_it_tells_progress(tree, capsys):
  def convert(content, progress, facts):
    progress(0.1)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    for i in range(600):
      time.sleep(0.1)
      progress(i / 600)
    return content, list

  work = dataclasses.replace(_work(), convert=convert)
  plan = _plan("in")
  with pytest.raises(KeyboardInterrupt):
    many_files.run(plan, work, 1, "done")
  assert not os.path.exists("out")
  assert capsys.readouterr().out.endswith("3 not tried\n")


def test_sigterm_ends_a_run_as_ctrl_c_does(tree, capsys):
  def convert(content):
    if content == b"in/a.png":
      signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
      time.sleep(0.5)
    return content

  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(SystemExit) as exit_, startup.one_line_errors():
    many_files.run(_plan("in", recursive=True), _work(convert), 1, "done")
  assert exit_.value.code == 128 + signal.SIGTERM
  assert signal.getsignal(signal.SIGTERM) == before
  assert set(_results()) == {"out/B.bin", "out/a.bin"}
  assert capsys.readouterr().out.endswith("4 not tried\n")


def test_a_log_has_a_line_for_each_file(tree):
  def convert(content):
    if content == b"in/a.png":
      raise ValueError("no picture")
    return content

  for skip_existing in (False, True):
    log = run_log.RunLog("log.jsonl")
    work = _work(convert, is_done=lambda source, target: True)
    many_files.run(
      _plan("in", skip_existing=skip_existing), work, 2, "done", run_records.Records(log)
    )
    lines = [json.loads(line) for line in pathlib.Path("log.jsonl").read_text().splitlines()]
    by_source = {line.pop("source"): line for line in lines}
    failed = by_source.pop("in/a.png")
    expected = {"ok": False, "target": "out/a.bin", "bytes": 8, "error": "no picture"}
    assert failed == expected
    assert set(by_source) == {"in/B.JPG", "in/odd[1].png"}
    for source, line in by_source.items():
      assert line["ok"] and line["target"] == f"out/{pathlib.Path(source).stem}.bin"
      assert line.get("existing", False) == skip_existing
      assert skip_existing or (line["bytes"] == len(source) and line["total_s"] >= 0)


def test_progress_is_lines_where_there_is_no_terminal(tree, monkeypatch, capsys):
  monkeypatch.setattr(console, "_LINE_EVERY", 0.0)
  many_files.run(_plan("in"), _work(), 1, "done")
  lines = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" left")]
  # After the last file the summary follows.
  assert [line.partition(",")[0] for line in lines] == [f"{i} of 3 files" for i in (1, 2)]


def test_the_first_files_give_an_estimate(tree, monkeypatch, capsys):
  monkeypatch.setattr(console, "_FIRST_LINE", 0.0)
  many_files.run(_plan("in"), _work(), 1, "done")
  (line,) = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" left")]
  assert line.startswith("1 of 3 files, ")


def test_a_codec_serves_several_threads_at_once(tmp_path):
  serial, _ = codecs.make_codec("joint", tmp_path)
  crops = [codecs.photograph(40 + 9 * i, 150 - 9 * i) for i in range(8)]
  files = [serial.compress(crop) for crop in crops]
  pictures = [serial.decompress(file) for file in files]
  fresh = bmshj_minnen.load(tmp_path / "joint")  # Nothing is traced yet.
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(fresh.compress, crops)) == files
    for picture, expected in zip(pool.map(fresh.decompress, files), pictures):
      np.testing.assert_array_equal(picture, expected)
