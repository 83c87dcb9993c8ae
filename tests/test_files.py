"""Files that results may replace, and files that must not be lost."""

import os
import pathlib
import re
import struct

import numpy as np
import pytest

from bmshj_minnen.command_line import files
from bmshj_minnen.format import fields, reading, writing
from bmshj_minnen.images import image_files

_OWN = writing.pack(b"abcd", 10, 10, b"rest of a file")


def _results(**options):
  return files.Results(reading.is_start_of_file, **options)


@pytest.fixture
def target(tmp_path):
  return tmp_path / "target"


@pytest.mark.parametrize("content", [b"", _OWN[:2], _OWN[:3], _OWN, _OWN[:15], _OWN + b"more"])
def test_own_files_and_empty_ones_are_replaced(target, content):
  target.write_bytes(content)
  assert _results().problem(str(target)) is None
  _results().write(str(target), b"result", "source")
  assert target.read_bytes() == b"result"


# A BMP of 333 bytes: its size makes it begin like a compressed file.
_BMP = b"BM" + struct.pack("<IHHII", 333, 0, 0, 54, 40) + bytes(315)


@pytest.mark.parametrize(
  "content", [b"x", b"BMN", fields.MAGIC + b"\7" + _OWN[4:], _BMP, b"\0" * 20]
)
def test_what_others_wrote_is_not(target, content):
  assert _BMP[:4] == _OWN[:4]
  target.write_bytes(content)
  for path in (target, target.with_name("link")):
    if path != target:
      path.symlink_to("target")
    assert "--overwrite replaces" in _results().problem(str(path))
    with pytest.raises(ValueError, match="is there already.*--overwrite"):
      _results().write(str(path), b"result", "source")
  assert target.read_bytes() == content
  results = _results(overwrite=True)
  assert results.problem(str(target)) is None
  results.write(str(target), b"result", "source")
  assert target.read_bytes() == b"result"


@pytest.mark.parametrize("length", [0, 1, 20, 50])
def test_a_result_that_was_cut_off_is_known_by_its_whole(target, length):
  whole = b"\x89PNG" + bytes(range(46))
  results = files.Results(lambda head: False, skip_existing=True)
  target.write_bytes(whole[:length])
  assert results.problem(str(target)) is None
  results.write(str(target), whole, "source")
  assert target.read_bytes() == whole
  for other in (whole + b"x", whole[:length] + b"y"):
    target.write_bytes(other)
    with pytest.raises(ValueError, match="is there already"):
      results.write(str(target), whole, "source")
    assert target.read_bytes() == other


def test_read_only_files_are_refused_whoever_wants_it(target):
  target.write_bytes(_OWN)
  target.chmod(0o444)
  assert "read-only" in _results(overwrite=True).problem(str(target))


def test_targets_that_cannot_be_are_told(tmp_path):
  problem = _results().problem
  assert "an empty name" in problem("")
  assert "cannot be a file" in problem(str(tmp_path))
  assert "cannot be a file" in problem(f"{tmp_path}/new/")
  assert problem(f"{tmp_path}/a/b") == f"{tmp_path}/a: No such file or directory"
  assert _results(makes_folders=True).problem(f"{tmp_path}/a/b") is None
  (tmp_path / "file").touch()
  assert "is not a folder" in problem(f"{tmp_path}/file/b")
  assert "is not a folder" in _results(makes_folders=True).problem(f"{tmp_path}/file/b/c")
  for path in ("-", "/dev/stdout", "/dev/null"):
    assert problem(path) is None


def test_folders_without_permission_are_told(tmp_path, monkeypatch):
  monkeypatch.setattr(os, "access", lambda path, mode: False)
  assert _results().problem(f"{tmp_path}/x") == f"{tmp_path}: Permission denied"


def test_results_take_over_the_time_of_their_source(tmp_path, target):
  source = tmp_path / "source"
  source.touch()
  os.utime(source, (0, 10**9))
  _results().write(str(target), b"result", str(source))
  assert target.stat().st_mtime == 10**9


def test_whole_pictures_are_told_from_others(tmp_path):
  path = tmp_path / "a.png"
  png = image_files.encode_image(np.zeros((20, 30, 3), np.uint8))
  for content, expected in [(png, (20, 30)), (png[:-40], None), (b"", None), (b"x" * 99, None)]:
    path.write_bytes(content)
    assert image_files.size_of_whole_picture(str(path)) == expected
  assert image_files.size_of_whole_picture(str(pathlib.Path(tmp_path, "missing"))) is None


def test_every_entrance_has_a_test_for_every_rule():
  root = pathlib.Path(__file__).parent
  page = (root.parent / "experiments" / "reliability" / "README.md").read_text()
  section = page.split("\n## Entrances and rules\n")[1].split("\n## ")[0]
  rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
  says, tests = rows[: len(rows) // 2], rows[len(rows) // 2 :]
  assert [row[0] for row in says] == [row[0] for row in tests] and len(says) > 8
  there = {
    name
    for path in root.rglob("test_*.py")
    for name in re.findall(r"^def (\w+)", path.read_text(), re.M)
  }
  for told, tested in zip(says[2:], tests[2:]):
    assert len(told) == len(tested) == 6 and all(cell.strip() for cell in told)
    for cell in tested[1:]:
      named = set(re.findall(r"`(\w+)`", cell))
      assert named and named <= there, named - there
