"""A corpus on Beam's engine for Dask: a scheduler, and two workers, one of which is killed."""

import collections
import concurrent.futures
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import time

import pytest

from bmshj_minnen.corpus import file_rows as outcomes
from bmshj_minnen.corpus import pipeline, tasks
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.images import image_files
from tests import codecs, programs

pytest.importorskip("distributed", reason="Dask is not installed: pip install '.[dask]'")

_FILES = 20
_THERE = 2  # Results of an earlier run.
_SECONDS = 120
_DASK = """
from dask.__main__ import main
main()
"""


@dataclasses.dataclass(frozen=True)
class _Logged(tasks.Compression):
  """Logs the process that made each result."""

  log: str = ""

  def convert(self, codec, path, content):
    result = super().convert(codec, path, content)
    time.sleep(0.05)  # Slow enough to be killed midway.
    with open(self.log, "a") as file:
      file.write(f"{os.getpid()} {pathlib.Path(path).stem}\n")
    return result


def _until(condition, *processes):
  end = time.monotonic() + _SECONDS
  while not condition():
    assert time.monotonic() < end and all(process.poll() is None for process in processes)
    time.sleep(0.01)


@pytest.fixture
def cluster(tmp_path):
  """The scheduler's address, and the workers, which run in another directory."""
  file, elsewhere = tmp_path / "scheduler.json", tmp_path / "elsewhere"
  elsewhere.mkdir()

  def start(program, *arguments):
    flags = ["--host=127.0.0.1", "--no-dashboard", f"--scheduler-file={file}"]
    return programs.start(_DASK, program, *arguments, *flags, cwd=elsewhere)

  processes = [start("scheduler", "--port=0")]
  try:
    _until(file.exists, *processes)
    processes += [start("worker", "--nthreads=1", "--no-nanny") for _ in "12"]
    yield json.loads(file.read_text())["address"], processes[1:]
  finally:
    for process in processes:
      if process.poll() is None:
        process.kill()
        process.wait()


def _made(log):
  """Names by the process that made them."""
  made = collections.defaultdict(list)
  for line in log.read_text().splitlines() if log.exists() else ():
    pid, name = line.split()
    made[int(pid)].append(name)
  return made


def _rows(output, name):
  with open(output / f"{name}.csv", newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def test_a_worker_that_is_killed_costs_nothing(cluster, tmp_path, monkeypatch):
  address, workers = cluster
  monkeypatch.chdir(tmp_path)  # Paths are relative.
  codec, _ = codecs.make_codec("factorized", tmp_path)
  os.mkdir("in")
  expected = {}
  for i in range(_FILES):
    image = codecs.photograph(20 + i, 30 + 2 * i)
    image_files.write_image(f"in/{i}.png", image)
    expected[f"{i}.tfci"] = codec.compress(image)
  pathlib.Path("in/bad.png").write_text("no picture")
  output, log = tmp_path / "out", tmp_path / "log"
  output.mkdir()
  for name in sorted(expected)[:_THERE]:
    source = f"in/{pathlib.Path(name).stem}.png"
    outputs.write_atomically(str(output / name), expected[name], source)

  task = _Logged(tasks.model_for_workers("factorized"), log=str(log))
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    arguments = [f"--dask_client_address={address}"]
    run = pool.submit(pipeline.run, pipeline.Corpus(("in",), "out"), task, "DaskRunner", arguments)
    victim = workers[0]
    _until(lambda: run.done() or len(_made(log)[victim.pid]) >= 3, *workers)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    before = _made(log)
    assert 3 <= sum(map(len, before.values())) < _FILES - _THERE
    outcome = run.result(_SECONDS)

  assert {path.name: path.read_bytes() for path in output.glob("*.tfci")} == expected
  made = _made(log)
  assert made[victim.pid] == before[victim.pid]
  # At most the current file, which may not have been written yet, was made twice.
  assert _FILES - _THERE <= sum(map(len, made.values())) <= _FILES - _THERE + 1
  rows = {row["file"]: row for row in _rows(output, "manifest")}
  assert rows.keys() == expected.keys() and len(_rows(output, "manifest")) == _FILES
  for name, data in expected.items():
    assert rows[name]["sha256"] == hashlib.sha256(data).hexdigest()
    assert int(rows[name]["bytes"]) == len(data)
  (failure,) = _rows(output, "failures")
  assert failure["source"] == "in/bad.png" and "readable" in failure["reason"]
  new = set(expected) - set(sorted(expected)[:_THERE])
  assert outcome == outcomes.CorpusOutcome(
    files=len(new),
    existing=_THERE,
    failures=1,
    bytes_in=sum(os.path.getsize(f"in/{pathlib.Path(name).stem}.png") for name in new),
    bytes_out=sum(len(expected[name]) for name in new),
  )
