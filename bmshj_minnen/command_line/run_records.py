"""The results of a run: how many files were done, and the log, metrics and manifest of them."""

import dataclasses
from typing import Any, Optional

from bmshj_minnen.command_line import archive, run_log, run_metrics, startup

__all__ = ["Outcome", "Records"]


@dataclasses.dataclass
class Outcome:
  """How many files were done, failed, or had results already; the others were not tried.

  Attributes:
    done, failed, existing: numbers of files.
    larger: number of results that were written although they are larger than their sources.
    copied: number of sources that were copied, because they are smaller than their results.
    unrecorded: whether the log or the metrics could not be written.
  """

  done: int = 0
  failed: int = 0
  existing: int = 0
  larger: int = 0
  copied: int = 0
  unrecorded: bool = False

  @property
  def tried(self) -> int:
    """Number of files that were done, failed, or had results already."""
    return self.done + self.failed + self.existing

  def status(self, is_folder: bool) -> int:
    """The exit status of a program.

    Args:
      is_folder: whether results went to a folder; only then there is `NOTHING_DONE`.
    """
    if is_folder and self.failed and not self.done and not self.existing:
      return startup.NOTHING_DONE
    return startup.FAILED if self.failed or self.unrecorded else 0

  def summary(self, files: int, verb: str, seconds: float) -> str:
    """One line on a run over so many files, such as "compressed 2 of 3 files in 0.4 s"."""
    count = files - self.existing
    parts = [f"{verb} {self.done} of {count} files in {seconds:.1f} s"]
    for number, kind in [
      (self.failed, "failed"),
      (count - self.done - self.failed, "not tried"),
      (self.existing, "more were there already"),
      (self.copied, "copied, as they are smaller than their results"),
      (self.larger, "larger than their sources, which --keep_smaller copies"),
    ]:
      parts += [f"{number} {kind}"] if number else []
    return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Records:
  """The log, the metrics and the manifest of a run.

  Attributes:
    log: receives a line for each file.
    metrics: counts the files.
    rows: the manifest of the folder of results; None: there is none.
    problems: error messages about a log or metrics that could not be written; files are converted
      all the same.
  """

  log: run_log.RunLog = dataclasses.field(default_factory=run_log.RunLog)
  metrics: run_metrics.RunMetrics = dataclasses.field(default_factory=run_metrics.RunMetrics)
  rows: Optional[archive.Archive] = None
  problems: list[str] = dataclasses.field(default_factory=list)

  def add(self, source: str, ok: bool, **facts: Any) -> None:
    """Adds a file to the log and to the metrics."""
    self._try(self.log.add, source, ok, **facts)
    self._try(self.metrics.add, ok, facts)

  def close(self) -> None:
    """Completes all of them."""
    if self.rows is not None:
      self.rows.close()
    self._try(self.log.close)
    self._try(self.metrics.close)

  def _try(self, call, *args, **kwargs):
    try:
      call(*args, **kwargs)
    except OSError as error:
      line = f"{error.filename}: {error.strerror}"
      if line not in self.problems:
        self.problems.append(line)
