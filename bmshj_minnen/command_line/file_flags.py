"""Flags of programs that convert many files: where results go, and which are made anew."""

import os
from collections.abc import Sequence
from typing import Callable, Optional

from absl import flags

from bmshj_minnen.command_line import archive, files, planning, shared_flags, startup

__all__ = ["FileFlags"]

flags.disclaim_key_flags()  # They belong to the program, whose `--help` must list them.


class FileFlags:
  """Defines flags of `compress` and `decompress`; values are available after parsing.

  Args:
    verb: participle for the files, such as "compressed".
    whole_name: example of a result with `--keep_extensions`, such as "a.jpg.tfci".
  """

  def __init__(self, verb: str, whole_name: str):
    self._output_dir = shared_flags.define_path("output_dir", None, f"Folder for the {verb} files.")
    self._recursive = flags.DEFINE_bool("recursive", False, "Search subfolders, too.")
    self._skip_existing = flags.DEFINE_bool(
      "skip_existing",
      False,
      "Keep existing results that are complete, were made from the present files, and satisfy the "
      "other flags, as far as time, size and header of a result show it.",
    )
    self._update = flags.DEFINE_bool(
      "update",
      False,
      "With --output_dir, keep results that its manifest.csv shows to be of the present files and "
      "of the same flags, do the others, and add them to the manifest.",
    )
    self._keep_extensions = flags.DEFINE_bool(
      "keep_extensions",
      False,
      f"With --output_dir, results keep the names of sources: {whole_name}.",
    )
    self._overwrite = shared_flags.define_overwrite()
    self._jobs = flags.DEFINE_integer(
      "jobs", 2, "Files converted at the same time; each takes its own memory.", lower_bound=1
    )
    self._memory = shared_flags.define_memory(2.0, "of all jobs may take; images are extra.")

  def request(self, paths: Sequence[str], keep_smaller: bool = False) -> planning.Request:
    """The request of the command line, with these positional arguments."""
    return planning.Request(
      tuple(map(os.path.expanduser, paths)),
      self.output_dir,
      self._recursive.value,
      self._skip_existing.value,
      self._keep_extensions.value,
      self._update.value,
      keep_smaller,
    )

  def results(
    self, is_own: Callable[[bytes], bool], manifest: Optional[archive.Archive] = None
  ) -> files.Results:
    """The writer of results.

    Args:
      is_own: first bytes of a file -> whether this program wrote it.
      manifest: the manifest of the folder, see `archive`.
    """
    return files.Results(
      is_own,
      self._overwrite.value,
      self._skip_existing.value or self.update,
      self.output_dir is not None,
      *([manifest.is_recorded] if manifest else []),
    )

  def open_archive(self) -> Optional[archive.Archive]:
    """The manifest of the folder, with `--update` or if it has one; else None.

    Raises:
      OSError: it cannot be read.
      ValueError: another program may have written it.
    """
    if not self.output_dir or not (self.update or archive.records_of(self.output_dir) is not None):
      return None
    return archive.Archive(self.output_dir, self._overwrite.value)

  @staticmethod
  def status_of(argv: Sequence[str]) -> int:
    """The exit status of a wrong command line, before its flags are known."""
    names = ("-output_dir", "--output_dir")
    is_folder = any(argument.split("=")[0] in names for argument in argv)
    return startup.NOTHING_DONE if is_folder else startup.FAILED

  @property
  def status(self) -> int:
    """The exit status of a run that cannot begin."""
    return startup.NOTHING_DONE if self.output_dir else startup.FAILED

  @property
  def update(self) -> bool:
    """Whether results are kept that the manifest shows to be up to date."""
    return self._update.value

  @property
  def output_dir(self) -> Optional[str]:
    """Folder for results; None: the result goes to a file that is named."""
    return self._output_dir.value

  @property
  def jobs(self) -> int:
    """Number of files that are converted at the same time."""
    return self._jobs.value

  @property
  def memory(self) -> int:
    """Bytes that the networks may take for one file."""
    return int(self._memory.value * shared_flags.GIB / self.jobs)
