"""Writing files: atomically, through links, to devices and pipes."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from bmshj_minnen.command_line import planning
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.model_files import array_files


def test_written_files_replace_older_ones(tmp_path):
  path = tmp_path / "file"
  outputs.write_atomically(str(path), b"a long first version")
  outputs.write_atomically(str(path), b"second")
  assert path.read_bytes() == b"second"
  assert os.listdir(tmp_path) == ["file"]


def test_results_have_names_of_any_length_and_leftovers_are_told(tmp_path, monkeypatch):
  replace, temporary = os.replace, []
  monkeypatch.setattr(os, "replace", lambda old, new: (temporary.append(old), replace(old, new)))
  path = tmp_path / ("n" * os.pathconf(tmp_path, "PC_NAME_MAX"))
  outputs.write_atomically(str(path), b"result")
  assert path.read_bytes() == b"result"
  assert planning.TEMPORARY.search(temporary[0])
  monkeypatch.chdir(tmp_path)
  outputs.write_atomically("short", b"result")
  assert sorted(os.listdir()) == [path.name, "short"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"precious")
  with pytest.raises(TypeError):
    outputs.write_atomically(str(path), "text, which a binary file does not take")
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["file"]


def test_a_failed_rename_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "file"
  path.write_bytes(b"precious")

  def replace(source, target):
    # The file is complete before it gets its name.
    with open(source, "rb") as file:
      assert file.read() == b"new"
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(os, "replace", replace)
  with pytest.raises(OSError, match="No space left"):
    outputs.write_atomically(str(path), b"new")
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "file"
  path.write_bytes(b"precious")

  def full(descriptor, data):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(os, "write", full)
  with pytest.raises(OSError, match="No space left on device: '.*file'$"):
    outputs.write_atomically(str(path), b"new")
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["file"]


def test_ctrl_c_within_arrays_leaves_no_file_and_no_open_archive(tmp_path, monkeypatch):
  arrays, archives = {"a": np.arange(9.0)}, []
  write_array = np.lib.format.write_array

  class Archive(zipfile.ZipFile):
    def __init__(self, *args, **options):
      super().__init__(*args, **options)
      archives.append(self)

  def interrupted(file, *args, **options):
    write_array(file, *args, **options)
    raise KeyboardInterrupt

  monkeypatch.setattr(np.lib.format, "write_array", interrupted)
  monkeypatch.setattr(zipfile, "ZipFile", Archive)
  for name in (array_files.WEIGHTS, array_files.CODER):
    with pytest.raises(KeyboardInterrupt):
      array_files.write(tmp_path, {name: arrays})
  # Python prints a traceback about an open archive at its end.
  assert [archive.fp for archive in archives] == [None, None]
  assert list(tmp_path.iterdir()) == []
  monkeypatch.undo()
  array_files.write(tmp_path, {array_files.CODER: arrays})
  np.testing.assert_array_equal(array_files.read(tmp_path, array_files.CODER)["a"], arrays["a"])


def test_devices_are_written_to_and_stay():
  outputs.write_atomically("/dev/null", b"data")
  assert not os.path.isfile("/dev/null")
  with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
    outputs.write_atomically("/dev/full", b"data")
  assert not os.path.isfile("/dev/full")


def test_what_is_synced_is_whole_and_comes_before_the_rename(tmp_path, monkeypatch):
  events, sync, replace = [], os.fsync, os.replace

  def fsync(descriptor):
    events.append(("sync", os.fstat(descriptor).st_size))
    sync(descriptor)

  monkeypatch.setattr(os, "fsync", fsync)
  monkeypatch.setattr(os, "replace", lambda *args: (events.append("rename"), replace(*args)))
  outputs.write_atomically(str(tmp_path / "file"), b"12345")
  assert events == [("sync", 5), "rename"]


@pytest.mark.parametrize("target", ["there", "missing"])
def test_links_are_followed(tmp_path, target):
  (tmp_path / "folder").mkdir()
  (tmp_path / "folder" / "there").write_bytes(b"old")
  (tmp_path / "second").symlink_to(f"folder/{target}")
  (tmp_path / "first").symlink_to("second")
  outputs.write_atomically(str(tmp_path / "first"), b"new")
  assert os.readlink(tmp_path / "first") == "second"
  assert os.readlink(tmp_path / "second") == f"folder/{target}"
  assert (tmp_path / "folder" / target).read_bytes() == b"new"
  assert len(os.listdir(tmp_path)) == 3


def test_a_circle_of_links_is_an_error(tmp_path):
  (tmp_path / "one").symlink_to("two")
  (tmp_path / "two").symlink_to("one")
  with pytest.raises(OSError, match="symbolic links"):
    outputs.write_atomically(str(tmp_path / "one"), b"new")
  assert sorted(os.listdir(tmp_path)) == ["one", "two"]


_WRITE = "import sys; from bmshj_minnen.file_tools import outputs; "


def _write_to(path, stdout):
  code = _WRITE + "outputs.write_atomically(sys.argv[1], b'data')"
  subprocess.run([sys.executable, "-c", code, path], stdout=stdout, check=True)


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "link"])
def test_open_files_are_written_to_where_they_are(tmp_path, path):
  if path == "link":
    path = str(tmp_path / "link")
    os.symlink("/proc/self/fd/1", path)
  with open(tmp_path / "log", "wb") as log:
    log.write(b"before ")
    log.flush()
    _write_to(path, log)
    log.write(b" after")
  assert (tmp_path / "log").read_bytes() == b"before data after"
  assert os.path.islink(path) or path == "/dev/fd/1"


def test_pipes_are_written_to(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
  outputs.write_atomically(str(tmp_path / "pipe"), b"data")
  assert os.read(reader, 10) == b"data"
  os.close(reader)
  assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_what_cannot_be_renamed_onto_is_written_in_place(tmp_path, monkeypatch, number):
  def replace(source, target):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(os, "replace", replace)
  path = tmp_path / "mounted"
  path.write_bytes(b"a longer one before")
  inode = path.stat().st_ino
  outputs.write_atomically(str(path), b"new")
  assert path.read_bytes() == b"new" and path.stat().st_ino == inode
  assert os.listdir(tmp_path) == ["mounted"]
  with pytest.raises(OSError, match=os.strerror(number)):
    outputs.write_atomically(str(tmp_path / "other"), b"new")
  assert os.listdir(tmp_path) == ["mounted"]


@pytest.fixture
def umask():
  before = os.umask(0o027)
  yield 0o027
  os.umask(before)


@pytest.mark.parametrize(
  ("source", "old", "expected"),
  [
    (None, None, 0o640),
    (0o644, None, 0o640),
    (0o600, None, 0o600),
    (0o444, None, 0o640),  # The next run must be able to replace it.
    (0o755, None, 0o640),
    (0o644, 0o600, 0o600),
    (0o600, 0o644, 0o600),
    (None, 0o604, 0o604),
  ],
)
def test_private_files_stay_private(tmp_path, umask, source, old, expected):
  like, path = tmp_path / "like", tmp_path / "path"
  for file, mode in ((like, source), (path, old)):
    if mode is not None:
      file.write_bytes(b"x")
      file.chmod(mode)
  outputs.write_atomically(str(path), b"data", None if source is None else str(like))
  assert stat.S_IMODE(path.stat().st_mode) == expected


def test_the_time_of_the_source_is_taken_over(tmp_path):
  like, path = tmp_path / "like", tmp_path / "path"
  like.write_bytes(b"x")
  os.utime(like, ns=(10**18 + 7, 10**18 + 11))
  outputs.write_atomically(str(path), b"data", str(like))
  assert path.stat().st_mtime_ns == 10**18 + 11
  outputs.write_atomically(str(path), b"data", "/dev/null")
  outputs.write_atomically(str(path), b"data", str(tmp_path / "gone"))
  assert path.stat().st_mtime_ns > 10**18 + 11


def _made(tmp_path):
  """A source and its result, an hour after the source was last written."""
  source, result = tmp_path / "source", tmp_path / "result"
  source.write_bytes(b"source")
  written = source.stat().st_mtime_ns - 3600 * 10**9
  os.utime(source, ns=(written, written))
  outputs.write_atomically(str(result), b"result", str(source))
  return source, result


def _is_made(result, source):
  return outputs.is_made_of(str(result), str(source))


def test_a_result_is_that_of_its_source_until_something_happens_to_that(tmp_path):
  source, result = _made(tmp_path)
  assert _is_made(result, source)
  shutil.copy2(result, tmp_path / "copy")
  assert _is_made(tmp_path / "copy", source)
  for missing in (tmp_path / "gone", "-", ""):
    assert not _is_made(result, missing) and not _is_made(missing, source)


def _rewritten(source):
  source.write_bytes(b"another")


def _replaced_by_an_older_one(source):
  other = source.with_name("other")
  other.write_bytes(b"another")
  os.utime(other, (10**9, 10**9))
  other.rename(source)


def _replaced_by_one_of_its_time(source):
  other = source.with_name("other")
  other.write_bytes(b"another")
  shutil.copystat(source, other)
  other.rename(source)


def _swapped_with_its_folder(source):
  """Replaces the source by a link to another file, which is older than the result."""
  source.unlink()
  source.symlink_to("older")


@pytest.mark.parametrize(
  "change",
  [_rewritten, _replaced_by_an_older_one, _replaced_by_one_of_its_time, _swapped_with_its_folder],
)
def test_a_source_that_is_replaced_is_another_one(tmp_path, change):
  older = tmp_path / "older"
  older.write_bytes(b"another")
  os.utime(older, (10**9, 10**9))
  source, result = _made(tmp_path)
  time.sleep(0.02)  # Some kernels count in hundredths of a second.
  change(source)
  assert source.read_bytes() == b"another" and not _is_made(result, source)


@pytest.mark.parametrize("unit", [1, 100, 10**7, 10**9, 2 * 10**9])
def test_file_systems_with_coarse_times_are_no_hindrance(tmp_path, unit):
  source, result = _made(tmp_path)
  kept = source.stat().st_mtime_ns // unit * unit
  os.utime(result, ns=(kept, kept))
  assert _is_made(result, source)
  os.utime(result, ns=(kept - 2 * 10**9, kept - 2 * 10**9))
  assert not _is_made(result, source)
