"""What a pipeline counts, wherever its steps run, and what it says of a file that fails."""

import dataclasses

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult

__all__ = ["Outcome", "count", "failure"]

FAILED = "failed"  # The output of a step for what `failure` returns.


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the pipeline counted.

  Attributes:
    files: results made.
    existing: results that were there already.
    failures: files that could not be converted.
    bytes_in, bytes_out: of the results made.
  """

  files: int = 0
  existing: int = 0
  failures: int = 0
  bytes_in: int = 0
  bytes_out: int = 0

  def summary(self, verb: str) -> str:
    """One line; the verb says what was done."""
    return (
      f"{verb} {self.files} files, {self.bytes_in} bytes -> {self.bytes_out}; "
      f"{self.existing} were there already, {self.failures} failed"
    )

  @classmethod
  def of(cls, result: PipelineResult) -> "Outcome":
    """What the steps of a pipeline that has ended counted, all together."""
    totals = dict.fromkeys((field.name for field in dataclasses.fields(cls)), 0)
    # Several steps may count the same.
    for counter in result.metrics().query(MetricsFilter().with_namespace(__name__))["counters"]:
      totals[counter.key.metric.name] += counter.committed or counter.attempted
    return cls(**totals)


def count(**numbers: int) -> None:
  """Adds to what `Outcome` reports; called within a step."""
  for name, number in numbers.items():
    Metrics.counter(__name__, name).inc(number)


def failure(source: str, reason: str) -> beam.pvalue.TaggedOutput:
  """Counts a file that fails, and makes its row of failures.csv; called within a step."""
  count(failures=1)
  return beam.pvalue.TaggedOutput(FAILED, (source, reason))
