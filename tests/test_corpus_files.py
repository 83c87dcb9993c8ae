"""Files of a corpus and their results after changes: positions, tables, kept files."""

import csv
import dataclasses
import errno
import hashlib
import os
import pathlib
import time
from typing import ClassVar

import pytest

from bmshj_minnen.command_line import manifest
from bmshj_minnen.corpus import pipeline
from bmshj_minnen.file_tools import outputs
from tests import elsewhere, trees


def _rows(output, name):
  with open(output / f"{name}.csv", newline="", encoding="utf-8") as file:
    return sorted(csv.DictReader(file), key=lambda row: row["source"])


def _run(task, output, *inputs, arguments=(), **options):
  corpus = pipeline.Corpus(tuple(map(str, inputs)), str(output), **options)
  return pipeline.run(corpus, task, "DirectRunner", list(arguments))


@dataclasses.dataclass(frozen=True)
class _Lengths:
  """A task without a codec: a file becomes its length in decimal; `log` has a line per load.

  Such a result does not show which program wrote it.
  """

  log: str = os.devnull
  unit: str = ""
  suffixes: ClassVar = frozenset((".png",))
  new_suffix: ClassVar = ".txt"
  compresses: ClassVar = True

  def load(self):
    with open(self.log, "a") as file:
      print("loaded", file=file)
    if self.log != os.devnull:
      time.sleep(0.1)  # So that loads in several threads would overlap.
    return len

  def convert(self, codec, path, content):
    if self.log != os.devnull:
      time.sleep(0.01)
    return f"{codec(content)}{self.unit}".encode(), 1, 1

  def request(self, codec):
    return f"unit={self.unit}"

  def is_own(self, content):
    return False

  def finished(self, codec, path, content, result):
    return (1, 1) if result.removesuffix(self.unit.encode()).isdigit() else None


class _Longer(_Lengths):
  new_suffix: ClassVar = ".longer"


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
  monkeypatch.chdir(tree.parent)  # Relative paths work as well.
  output = tree.parent / "out"
  _run(_Lengths(), output, f"photos{pattern}")
  made = {str(p.relative_to(output))[:-4] for p in output.rglob("*.txt")}
  assert made == set(files.split())


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


def test_pipes_long_names_and_closed_folders_cost_nothing_else(tree, monkeypatch):
  os.mkfifo(tree / "p.png")
  trees.make(tree, [f"{251 * 'y'}.png", "closed/h.png"])
  scan = os.scandir

  def scandir(path):
    if str(path).endswith("closed"):
      raise PermissionError(errno.EACCES, "Permission denied", path)
    return scan(path)

  monkeypatch.setattr(os, "scandir", scandir)
  outcome = _run(_Longer(), tree.parent / "out", tree)
  assert (outcome.files, outcome.failures) == (4, 2)
  reasons = {
    pathlib.Path(row["source"]).name: row["reason"]
    for row in _rows(tree.parent / "out", "failures")
  }
  assert reasons["closed"] == "Permission denied"
  assert reasons[f"{251 * 'y'}.png"].endswith("File name too long")


def test_the_codec_is_loaded_once_to_check_it_and_once_a_worker(tree):
  for i in range(30):
    (tree / f"{i}.png").write_text("")
  log = tree.parent / "log"
  arguments = ["--direct_num_workers=4", "--direct_running_mode=multi_threading"]
  outcome = _run(_Lengths(str(log)), tree.parent / "out", tree, arguments=arguments)
  assert outcome.files == 34
  assert log.read_text() == "loaded\n" * 2


def test_what_cannot_be_written_ends_the_run(tree, monkeypatch, caplog):
  def full(descriptor, data):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(outputs, "write_to", full)
  with pytest.raises(OSError, match=r"^cannot write: .*out/\S+: No space left on device$"):
    _run(_Lengths(), tree.parent / "out", tree)
  assert "Traceback" not in caplog.text
  assert not list((tree.parent / "out").rglob("*.*"))


@pytest.mark.parametrize(
  "pattern, arguments, words",
  [
    ("/*.webp", [], "no file matches .*webp$"),
    ("/empty", [], "no file matches .*empty$"),
    ("/texts", [], "texts: no file ends in .png$"),
    ("", ["--modle=x"], "unknown argument --modle=x"),
    ("", ["photos"], "unknown argument photos"),
  ],
)
def test_wrong_arguments_are_one_line(tree, pattern, arguments, words):
  trees.make(tree, ["texts/a.txt"])
  with pytest.raises(ValueError, match=words) as caught:
    _run(_Lengths(), tree.parent / "out", f"{tree}{pattern}", arguments=arguments)
  assert "\n" not in str(caught.value)
  assert not (tree.parent / "out").exists()


def test_an_output_that_is_no_folder_is_one_line(tree):
  (tree.parent / "out").write_text("a file")
  with pytest.raises(ValueError, match="^/.*/out is not a folder$"):
    _run(_Lengths(), tree.parent / "out", tree)
  assert (tree.parent / "out").read_text() == "a file"


@pytest.fixture(params=["", elsewhere.SCHEME])
def anywhere(request, tree):
  """The same tree, mounted or not, and its output there."""
  return f"{request.param}{tree}", f"{request.param}{tree.parent / 'out'}"


def test_a_source_that_was_replaced_is_done_again(anywhere, tree):
  source, output = anywhere
  _run(_Lengths(), output, source)
  before = _rows(tree.parent / "out", "manifest")
  other = tree.parent / "other"
  other.write_bytes(b"of another length")
  os.utime(other, (10**9, 10**9))  # Older than the previous file's result.
  other.rename(tree / "a.png")
  outcome = _run(_Lengths(), output, source)
  assert (outcome.files, outcome.existing, outcome.failures) == (1, 3, 0)
  assert (tree.parent / "out" / "a.txt").read_text() == "17"
  after = _rows(tree.parent / "out", "manifest")
  assert after[1:] == before[1:] and after[0]["source_bytes"] == "17"
  for row in after:
    content = pathlib.Path(row["source"].removeprefix(elsewhere.SCHEME)).read_bytes()
    assert row["source_sha256"] == hashlib.sha256(content).hexdigest()
    assert int(row["source_bytes"]) == len(content)
  os.utime(tree / "a.png")  # Changes only the time.
  assert _run(_Lengths(), output, source).existing == 4


def test_another_request_is_done_anew_and_goes_on_if_it_was_killed(anywhere, tree):
  source, output = anywhere
  _run(_Lengths(), output, source)
  manifest = (tree.parent / "out" / "manifest.csv").read_bytes()
  outcome = _run(_Lengths(unit="m"), output, source)
  assert (outcome.files, outcome.existing) == (4, 0)
  assert {row["request"] for row in _rows(tree.parent / "out", "manifest")} == {"unit=m"}
  # As if it had been killed before it wrote its tables.
  (tree.parent / "out" / "manifest.csv").write_bytes(manifest)
  outcome = _run(_Lengths(unit="m"), output, source)
  assert (outcome.files, outcome.existing) == (0, 4)


def test_what_others_wrote_is_not_replaced_unasked(anywhere, tree):
  source, output = anywhere
  out = tree.parent / "out"
  trees.make(out, ["a.txt", "x/d.txt"])
  (out / "x" / "y").mkdir()
  (out / "x" / "y" / "e.txt").touch()  # Nothing is lost.
  (out / "b.txt").write_bytes(b"99 notes")
  before = {name: (out / name).read_bytes() for name in ("a.txt", "b.txt", "x/d.txt")}
  outcome = _run(_Lengths(), output, source)
  assert (outcome.files, outcome.failures) == (1, 3)
  assert all((out / name).read_bytes() == content for name, content in before.items())
  reasons = [row["reason"] for row in _rows(out, "failures")]
  # Beam's programs have no --skip_existing, so that the line ends here.
  assert all(" is there already" in line for line in reasons)
  assert all(line.endswith("--overwrite replaces it") for line in reasons)
  outcome = _run(_Lengths(), output, source, overwrite=True)
  assert (outcome.files, outcome.existing, outcome.failures) == (3, 1, 0)
  assert (out / "a.txt").read_text() == str((tree / "a.png").stat().st_size)


def test_read_only_results_are_kept_even_from_those_who_may_overwrite(tree):
  out = tree.parent / "out"
  trees.make(out, ["a.txt"])
  (out / "a.txt").chmod(0o444)
  outcome = _run(_Lengths(), out, tree, overwrite=True)
  assert (outcome.files, outcome.failures) == (3, 1)
  (failure,) = _rows(out, "failures")
  assert failure["reason"] == f"{out}/a.txt is read-only"
  assert (out / "a.txt").read_text() == "a.txt"


def test_a_source_that_changes_while_it_is_read_has_no_result(tree, monkeypatch):
  def convert(self, codec, path, content):
    if path.endswith("a.png"):
      (tree / "a.png").write_bytes(b"another photograph")
    return b"7", 1, 1

  monkeypatch.setattr(_Lengths, "convert", convert)
  out = tree.parent / "out"
  assert _run(_Lengths(), out, tree).failures == 1
  (failure,) = _rows(out, "failures")
  assert failure["source"].endswith("a.png") and "changed while it was read" in failure["reason"]
  assert not (out / "a.txt").exists()


@pytest.mark.parametrize(
  ("name", "content"),
  [
    ("manifest.csv", b"my,own,table\n1,2,3\n"),
    ("manifest.csv", b"\x89PNG"),
    ("manifest.csv", (",".join(manifest.COLUMNS) + "\n1,2\n").encode()),
    ("failures.csv", b"source,reason,mine\n"),
    ("counts.json", b'{"sheep": 7}'),
  ],
)
def test_tables_of_others_stop_the_run_unless_it_may_replace_them(anywhere, tree, name, content):
  source, output = anywhere
  out = tree.parent / "out"
  out.mkdir()
  (out / name).write_bytes(content)
  with pytest.raises(ValueError, match=f"{name} is there already.*--overwrite replaces it$"):
    _run(_Lengths(), output, source)
  assert (out / name).read_bytes() == content and os.listdir(out) == [name]
  assert _run(_Lengths(), output, source, overwrite=True).files == 4
  assert len(_rows(out, "manifest")) == 4 and _rows(out, "failures") == []


def test_a_second_input_adds_to_the_tables(anywhere, tree):
  """Rows of the first input stay while their results exist."""
  source, output = anywhere
  out = tree.parent / "out"
  trees.make(tree, ["s/same.png", "s/same.jpg", "t/other.png", "t/gone.png"])
  base = source.removesuffix("photos")
  _run(_Lengths(), output, f"{source}/s/*", f"{source}/t")
  before, failures = _rows(out, "manifest"), _rows(out, "failures")
  assert (len(before), len(failures)) == (2, 2)
  (out / "gone.txt").unlink()
  outcome = _run(_Lengths(), output, f"{source}/x", f"{base}photos/*.PNG")
  assert (outcome.files, outcome.existing, outcome.failures) == (3, 0, 0)
  rows = _rows(out, "manifest")
  assert [row for row in rows if row in before] == before[1:] and len(rows) == 4
  assert {row["file"] for row in rows} == {str(p.relative_to(out)) for p in out.rglob("*.txt")}
  assert _rows(out, "failures") == failures
  (tree / "s" / "same.jpg").unlink()  # One of the two files that conflict.
  assert _run(_Lengths(), output, f"{source}/s/*").failures == 0
  assert _rows(out, "failures") == [] and len(_rows(out, "manifest")) == 5


def test_a_second_input_does_not_replace_results_of_the_first(anywhere, tree):
  """Cameras give their files the same names again and again."""
  source, output = anywhere
  out = tree.parent / "out"
  trees.make(tree, ["s/1.png", "t/1.png", "copy/1.png"])
  (tree / "copy" / "1.png").write_bytes((tree / "s" / "1.png").read_bytes())
  (tree / "t" / "1.png").write_bytes(b"another one")
  _run(_Lengths(), output, f"{source}/s")
  before = (out / "1.txt").read_bytes()
  outcome = _run(_Lengths(), output, f"{source}/t")
  assert (outcome.files, outcome.failures) == (0, 1) and (out / "1.txt").read_bytes() == before
  (failure,), (row,) = _rows(out, "failures"), _rows(out, "manifest")
  assert failure["reason"].endswith(
    f"made of another source, {row['source']}: --overwrite replaces it"
  )
  assert row["source"] == f"{source}/s/1.png"
  assert _run(_Lengths(), output, f"{source}/copy").existing == 1
  assert _run(_Lengths(), output, f"{source}/t", overwrite=True).files == 1
  assert (out / "1.txt").read_text() == "11"


def test_manifests_of_the_former_layout_are_read_and_prove_nothing(tree):
  out = tree.parent / "out"
  _run(_Lengths(), out, tree)
  rows = _rows(out, "manifest")
  with open(out / "manifest.csv", "w", newline="", encoding="utf-8-sig") as file:
    former = csv.DictWriter(file, manifest.COLUMNS[:8], extrasaction="ignore")
    former.writeheader()
    former.writerows(rows)
  (tree / "a.png").write_bytes(b"another photograph")
  outcome = _run(_Lengths(), out, tree / "*.png")
  assert (outcome.files, outcome.existing) == (1, 0)
  assert (out / "a.txt").read_text() == "18"
  after = {row["file"]: row for row in _rows(out, "manifest")}
  assert len(after) == 4 and after["a.txt"]["source_bytes"] == "18"
  for row in rows:
    if row["file"] != "a.txt":
      assert after[row["file"]] == {**row, "source_sha256": "", "request": ""}
