"""The flags that `compress` and `decompress` share: which files, and how many at a time."""

from collections.abc import Sequence
from typing import Optional

from absl import flags

from bmshj_minnen import batch

__all__ = ["FileFlags"]


class FileFlags:
  """Defines the flags; their values are known once they are parsed.

  Args:
    verb: what becomes of the files, such as "compressed".
  """

  def __init__(self, verb: str):
    self._output_dir = flags.DEFINE_string(
      "output_dir", None, f"All that is named is {verb} to here."
    )
    self._recursive = flags.DEFINE_bool("recursive", False, "Look into folders within folders.")
    self._skip_existing = flags.DEFINE_bool("skip_existing", False, "Keep results that are there.")
    self._jobs = flags.DEFINE_integer(
      "jobs", 2, "Files at the same time; each takes memory of its own.", lower_bound=1
    )
    self._memory = flags.DEFINE_float(
      "memory", 2.0, "GiB that the networks of all jobs take; images come on top.", lower_bound=0.0
    )

  def request(self, paths: Sequence[str]) -> batch.Request:
    """What is asked for with these arguments."""
    return batch.Request(
      tuple(paths), self.output_dir, self._recursive.value, self._skip_existing.value
    )

  @property
  def output_dir(self) -> Optional[str]:
    """Where results go, if there may be several."""
    return self._output_dir.value

  @property
  def jobs(self) -> int:
    """Files at the same time."""
    return self._jobs.value

  @property
  def memory(self) -> int:
    """Bytes that the networks may take for one of them."""
    return int(self._memory.value * 2**30 / self.jobs)
