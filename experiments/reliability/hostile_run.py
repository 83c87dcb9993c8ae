"""Decodes many hostile files with codecs in one process, and counts the outcomes.

Case i of a seed is the same file in every run. The current file is kept beside the state, so that
it remains if the process dies; a file that takes minutes ends the process by SIGALRM.
"""

import collections
import json
import pathlib
import resource
import signal
import sys
import time

import numpy as np
import tqdm

import bmshj_minnen
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.format.errors import Problem
from experiments.reliability import hostile

__all__ = ["Campaign"]

_SUSPICIOUS = 0.8  # Share of the limit from which the time is measured repeatedly.
_AGAIN = 11  # One in this many files is decoded twice and must give the same picture.
_HANG = 300  # Seconds.
_SAVE_EVERY = 500
_WARM = 2000  # Number of files after which memory should no longer grow.


class Campaign:
  """Decodes cases in turn, and keeps the counts in a folder.

  Files come from each codec, and every second codec also makes files with metadata: with equally
  many codecs for one rate and for many rates, a third each has version 1, version 2, and metadata.

  Args:
    folder: folder for the state and the failed files.
    seed: another seed makes other files.
    codecs: codecs that make and decode the files.
    photograph: [H, W, 3] uint8, the picture of the good files.
    limit: largest decoding time, relative to a good file of the same size.

  Attributes:
    next: the first case that is not done yet.
    failures: one line for every case that did not end as it should.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    seed: int,
    codecs: list[bmshj_minnen.Codec],
    photograph: np.ndarray,
    limit: float = 2.0,
  ):
    self._folder, self._seed, self._limit = folder, seed, limit
    self._forges = [hostile.Forge(codec, photograph) for codec in codecs]
    self._forges += [hostile.Forge(codec, photograph, has_metadata=True) for codec in codecs[::2]]
    self._good_seconds: dict[tuple[int, tuple[int, int]], float] = {}
    self._stopped = False
    self._state = folder / "state.json"
    self.next, self.failures = 0, []
    self._counts, self._slowest = collections.Counter(), collections.Counter()
    self._checks: collections.Counter[str] = collections.Counter()
    self._seconds, self._memory = 0.0, []
    self._load()

  def case(self, index: int) -> tuple[int, hostile.Case]:
    """The number of the case's forge, and the case itself."""
    kinds = list(hostile.KINDS)
    number = index // len(kinds) % len(self._forges)
    random = np.random.default_rng([self._seed, index])
    return number, self._forges[number].make(kinds[index % len(kinds)], random)

  def run(self, files: int) -> bool:
    """Continues up to this number of files; returns False if it was interrupted before."""
    previous = signal.signal(signal.SIGINT, self._stop)
    memory = {"first": self.next, "warm": None, "end": None}
    self._memory.append(memory)
    try:
      with tqdm.tqdm(total=files, initial=self.next, unit="file", mininterval=1) as progress:
        while self.next < files and not self._stopped:
          start = time.monotonic()
          self._do(self.next)
          self.next += 1
          self._seconds += time.monotonic() - start
          memory["end"] = _peak_mib()
          if self.next - memory["first"] == _WARM:
            memory["warm"] = memory["end"]
          if self.next % _SAVE_EVERY == 0:
            self._save()
          progress.update()
    finally:
      signal.signal(signal.SIGINT, previous)
      self._save()
    return not self._stopped

  def judge(self, index: int) -> tuple[hostile.Case, hostile.Outcome, float]:
    """Decodes a case; returns it, its outcome, and its time relative to a good file's."""
    number, case = self.case(index)
    codec = self._forges[number].codec
    self._keep(case.data)
    signal.alarm(_HANG)
    outcome, seconds = _timed(codec, case)
    if index % _AGAIN == 0:
      again, _ = _timed(codec, case)
      if again != outcome:
        outcome = hostile.Outcome("other", f"first {outcome}, then {again}")
    ratio = seconds / self._time_of_good(number, case.size)
    if ratio > _SUSPICIOUS * self._limit:
      ratio = self._careful_ratio(number, case)
    signal.alarm(0)
    if ratio > self._limit:
      outcome = hostile.Outcome("other", f"took {ratio:.2f} times as long as a good file")
    return case, outcome, ratio

  def table(self) -> str:
    """All counts in Markdown."""
    names = ("refused", "decoded", "other")
    rows = [
      [kind, *(f"{self._counts[f'{kind}: {name}']:,}" for name in names), self._slowest[kind]]
      for kind in hostile.KINDS
    ]
    totals = [sum(self._counts[f"{kind}: {name}"] for kind in hostile.KINDS) for name in names]
    rows.append(["all", *(f"{n:,}" for n in totals), max(self._slowest.values(), default=0)])
    cells = ([*texts, f"{slowest:.2f}"] for *texts, slowest in rows)
    lines = [*markdown.lines(["", *names, "slowest"], cells)]
    lines.append(f"\n{self.next:,} files of seed {self._seed} in {self._seconds / 60:.1f} minutes")
    for m in self._memory:
      if m["warm"]:
        lines.append(
          f"peak memory after {_WARM:,} files from {m['first']:,} on: {m['warm']:.0f} MiB, "
          f"at the end {m['end'] - m['warm']:.1f} MiB more"
        )
    return "\n".join([*lines, "", *self._checks_table()])

  def _checks_table(self):
    """The checks that refused files of each kind; shows checks that refused none."""
    rows = []
    for problem in Problem:
      counts = {kind: self._checks[f"{kind}: {problem.name}"] for kind in hostile.KINDS}
      kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.items() if count)
      rows.append([problem.value, f"{sum(counts.values()):,}", kinds or "none"])
    return markdown.lines(["check", "files", "kinds"], rows, "lrl")

  def _do(self, index):
    case, outcome, ratio = self.judge(index)
    if outcome.name == "other":
      path = self._folder / f"case-{self._seed}-{index}.tfci"
      path.write_bytes(case.data)
      line = f"case {index} of seed {self._seed}, {case.kind}: {outcome.detail}; see {path}"
      self.failures.append(line)
      tqdm.tqdm.write(line)
    self._counts[f"{case.kind}: {outcome.name}"] += 1
    if outcome.check:
      self._checks[f"{case.kind}: {outcome.check}"] += 1
    self._slowest[case.kind] = max(self._slowest[case.kind], round(ratio, 3))

  def _good_case(self, number, size):
    return hostile.Case("good", size, self._forges[number].good[size])

  def _time_of_good(self, number, size):
    key = number, size
    if key not in self._good_seconds:
      good, codec = self._good_case(number, size), self._forges[number].codec
      self._good_seconds[key] = min(_timed(codec, good)[1] for _ in range(20))
    return self._good_seconds[key]

  def _careful_ratio(self, number, case):
    """Times the case in turn with the good file: other work on the machine slows both."""
    good, codec = self._good_case(number, case.size), self._forges[number].codec
    seconds = good_seconds = float("inf")
    for turn in range(30):
      seconds = min(seconds, _timed(codec, case)[1])
      good_seconds = min(good_seconds, _timed(codec, good)[1])
      if turn > 1 and seconds < _SUSPICIOUS * self._limit * good_seconds:
        break
    return seconds / good_seconds

  def _keep(self, content):
    """Writes the current file in place: a rename each time would wait for the disk."""
    self._current.seek(0)
    self._current.write(content)
    self._current.truncate()

  def _stop(self, *_):
    self._stopped = True

  def _load(self):
    path = self._folder / "current.tfci"
    if path.exists() and path.stat().st_size:
      kept = path.rename(self._folder / "died.tfci")
      print(f"the last run died in a file, which is kept: {kept}", file=sys.stderr)
    self._current = path.open("wb", buffering=0)
    if self._state.exists():
      state = json.loads(self._state.read_text())
      if state["seed"] != self._seed:
        raise ValueError(f"{self._folder} holds a campaign of seed {state['seed']}")
      self.next, self.failures = state["next"], state["failures"]
      self._counts.update(state["counts"])
      self._slowest.update(state["slowest"])
      self._checks.update(state["checks"])
      self._seconds, self._memory = state["seconds"], state["memory"]

  def _save(self):
    state = {
      "seed": self._seed,
      "next": self.next,
      "failures": self.failures,
      "counts": self._counts,
      "slowest": self._slowest,
      "checks": self._checks,
      "seconds": self._seconds,
      "memory": self._memory,
    }
    outputs.write_atomically(str(self._state), json.dumps(state, indent=2).encode())
    self._keep(b"")


def _timed(codec, case) -> tuple[hostile.Outcome, float]:
  """Outcome and processor seconds, which other work on the machine affects less."""
  start = time.process_time()
  outcome = hostile.decode(codec, case)
  return outcome, time.process_time() - start


def _peak_mib() -> float:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
