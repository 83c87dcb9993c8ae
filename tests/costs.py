"""Prints time and memory of the tests: `python -m pytest -p tests.costs tests`.

A line for each file and each of the most expensive tests: processor seconds of the test's process
and its descendants, peak memory of the process, and the largest peak of a descendant so far. On a
busy machine these are more reliable than wall time.
"""

import collections
import os
import pathlib
import resource

import pytest

_TESTS = 40
_RESULT = "costs"
# Test -> seconds, peak of the worker, peak of its children; both in bytes.
_costs: dict[str, tuple[float, int, int]] = {}


def _status(pid, name):
  """A number of `/proc/PID/status`, in bytes."""
  text = pathlib.Path(f"/proc/{pid}/status").read_text()
  return int(text.split(f"{name}:")[1].split()[0]) * 1024 if f"{name}:" in text else 0


def _descendants(pid):
  """The processes that a process has started, directly or indirectly."""
  for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
    for child in path.read_text().split():
      yield child
      yield from _descendants(child)


def _measure():
  """Processor seconds of this process and its descendants so far; the descendants' peak."""
  seconds, peak = sum(os.times()[:4]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
  for pid in list(_descendants(os.getpid())):
    try:
      fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
      peak = max(peak, _status(pid, "VmHWM"))
    except (FileNotFoundError, ProcessLookupError):  # The process has ended.
      continue
    seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
  return seconds, peak


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
  before, _ = _measure()
  pathlib.Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
  item.config.stash[_BEFORE] = before
  return (yield)


_BEFORE = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item, call):
  report = yield
  if report.when == "teardown":
    after, children = _measure()
    seconds = after - item.config.stash[_BEFORE]
    report.user_properties.append((_RESULT, (seconds, _status("self", "VmHWM"), children)))
  return report


def pytest_runtest_logreport(report):
  if report.when == "teardown":
    _costs[report.nodeid] = dict(report.user_properties)[_RESULT]


def pytest_terminal_summary(terminalreporter):
  files = collections.defaultdict(lambda: (0.0, 0, 0))
  for test, (seconds, own, children) in _costs.items():
    total, *peaks = files[test.partition("::")[0]]
    files[test.partition("::")[0]] = total + seconds, max(peaks[0], own), max(peaks[1], children)
  tests = sorted(_costs.items(), key=lambda item: -item[1][0])[:_TESTS]
  for title, costs in (("test", reversed(tests)), ("file", sorted(files.items()))):
    terminalreporter.section(f"costs of each {title}: seconds, GiB, GiB of processes it started")
    for name, (seconds, own, children) in costs:
      terminalreporter.line(f"{seconds:7.1f} {own / 2**30:5.2f} {children / 2**30:5.2f} {name}")
  terminalreporter.line(f"{sum(seconds for seconds, *_ in _costs.values()):7.1f} s in all")
