"""Three nights of an archive of small photographs, and what `verify` finds in it afterwards.

`python -m experiments.reliability.nights --photographs='../shared/data/bsds500/*.jpg'`

Before each night photographs are added, changed and deleted, and results are damaged and lost. The
first and third night are killed with -9 and with SIGTERM, and continue. After each night every
photograph must have a result of its present content, and no result may be gone.
"""

import collections
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image
from absl import app, flags

from bmshj_minnen import portable
from bmshj_minnen.command_line import startup, usage
from bmshj_minnen.images import image_files
from experiments import common

_PHOTOGRAPHS = flags.DEFINE_string("photographs", None, "Photographs to cut; the bundled ones.")
_FILES = flags.DEFINE_integer("files", 3000, "Small photographs at the beginning.", 60)
_JOBS = flags.DEFINE_integer("jobs", 2, "Files at the same time.", 1)
_WRONG = flags.DEFINE_integer("wrong", 60, "Results that `verify` must name.", 6)
_CHECKED = flags.DEFINE_integer("checked", 100, "Results that are made again and compared.", 0)
_OUTPUT = flags.DEFINE_string("output", None, "File for the results, JSON; else they are printed.")
_SIZES = (64, 72, 80, 96), (96, 112, 128)  # Heights and widths.
_TIME = 1_700_000_000  # Time of the photographs, seconds.


class Archive:
  """Folders `photos` and `small`, and operations on them; all random choices are of one seed."""

  def __init__(self, folder: pathlib.Path, wholes: list[np.ndarray]):
    self.photos, self.small, self.log = folder / "photos", folder / "small", folder / "run.jsonl"
    self._wholes, self._random, self._made = wholes, np.random.default_rng(0), 0
    self.photos.mkdir()

  def add(self, count: int) -> set[str]:
    """Adds photographs; two of three are JPEG, the others PNG."""
    places = set()
    for _ in range(count):
      suffix = "png" if self._made % 3 == 0 else "jpg"
      place = f"{self._made % 10}/{self._made:05}.{suffix}"
      (self.photos / place).parent.mkdir(exist_ok=True)
      self._write(place)
      self._made += 1
      places.add(place)
    return places

  def _write(self, place):
    whole = self._wholes[self._random.integers(len(self._wholes))]
    height, width = (int(self._random.choice(sides)) for sides in _SIZES)
    top = self._random.integers(whole.shape[0] - height + 1)
    left = self._random.integers(whole.shape[1] - width + 1)
    crop = whole[top : top + height, left : left + width]
    PIL.Image.fromarray(crop).save(self.photos / place, quality=92)
    os.utime(self.photos / place, (_TIME + self._made,) * 2)

  def choose(self, count: int, taken: set[str]) -> list[str]:
    """Photographs that are on disk and have not been chosen; they are then taken."""
    there = sorted(p.relative_to(self.photos).as_posix() for p in self.photos.glob("*/*"))
    free = [place for place in there if place not in taken]
    chosen = [free[i] for i in self._random.choice(len(free), count, replace=False)]
    taken.update(chosen)
    return chosen

  def change(self, places: list[str], keep_time: bool) -> None:
    """Puts other photographs in their places; with the old times, or an hour later."""
    for place in places:
      before = (self.photos / place).stat().st_mtime
      self._write(place)
      now = before + (0 if keep_time else 3600)
      os.utime(self.photos / place, (now, now))

  def result(self, place: str) -> pathlib.Path:
    """Path of the result of a photograph."""
    return self.small / f"{place}.tfci"

  def damage(self, places: list[str]) -> None:
    """Flips a bit of each result; its time stays."""
    for place in places:
      data = bytearray(self.result(place).read_bytes())
      data[self._random.integers(len(data))] ^= 1 << self._random.integers(8)
      self.replace(place, bytes(data))

  def replace(self, place: str, data: bytes) -> None:
    """Replaces a result; its time stays."""
    status = self.result(place).stat()
    self.result(place).write_bytes(data)
    os.utime(self.result(place), ns=(status.st_atime_ns, status.st_mtime_ns))

  def command(self) -> list[str]:
    """The nightly command."""
    return _program(
      "compress",
      *("--update", "--keep_extensions", "--recursive", f"--log={self.log}"),
      *(f"--output_dir={self.small}", self.photos),
    )

  def night(self) -> tuple[set[str], dict]:
    """Runs to the end: photographs that were done, and figures."""
    begin = time.perf_counter()
    process = subprocess.run(self.command(), capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    assert process.returncode == 0, process.stderr
    done = self._done()
    return done, {"seconds": round(seconds, 1), "done": len(done), "says": _last(process.stdout)}

  def _done(self):
    lines = map(json.loads, self.log.read_text().splitlines())
    done = [line["source"] for line in lines if line["ok"] and not line.get("existing")]
    return {os.path.relpath(source, self.photos) for source in done}

  def stop(self, number: int, results: int) -> tuple[set[str], dict]:
    """Runs until that many photographs are done, and sends a signal."""
    self.log.unlink(missing_ok=True)
    with open(self.log.with_suffix(".out"), "w+") as out:
      process = subprocess.Popen(self.command(), stdout=out, stderr=subprocess.DEVNULL)
      while process.poll() is None and self._count() < results:
        time.sleep(0.02)
      process.send_signal(number)
      status = process.wait()
      out.seek(0)
      done = self._done()
      return done, {"done": len(done), "status": status, "says": _last(out.read())}

  def _count(self):
    text = self.log.read_text() if self.log.exists() else ""
    return text.count('"total_s"')

  def problems(self) -> collections.Counter:
    """Counts what must not be, by files alone; the manifest must agree with all of them."""
    rows = {row["file"]: row for row in common.read_csv(self.small / "manifest.csv")}
    found = collections.Counter()
    for path in self.photos.glob("*/*"):
      place = path.relative_to(self.photos).as_posix()
      result, row = self.result(place), rows.get(f"{place}.tfci")
      if not result.exists() or row is None:
        found["without a result"] += 1
      elif row["source_sha256"] != _sha256(path):
        found["result of another content"] += 1
      elif row["sha256"] != _sha256(result):
        found["row of another result"] += 1
    found["left over"] = sum(p.suffix not in (".tfci", ".csv") for p in self.small.rglob("*.*"))
    return +found

  def differing(self, count: int) -> int:
    """Number of results, of some, that are not those of the codec in this process."""
    codec, differing = portable.load(), 0
    for place in self.choose(count, set()):
      data = codec.compress(image_files.read_image(str(self.photos / place)))
      differing += data != self.result(place).read_bytes()
    return differing


def _sha256(path):
  return hashlib.sha256(path.read_bytes()).hexdigest()


def _last(text):
  return text.splitlines()[-1] if text else ""


def _options():
  return "--runtime=onnx", f"--jobs={_JOBS.value}"


def _program(name, *arguments):
  return [sys.executable, "-m", f"bmshj_minnen.{name}", *_options(), *map(str, arguments)]


def _nights(archive: Archive, size: int) -> dict:
  few = max(1, size // 100)
  nights = {}
  archive.add(size)
  kill, kill_facts = archive.stop(signal.SIGKILL, size // 3)
  term, term_facts = archive.stop(signal.SIGTERM, size // 3)
  rest, facts = archive.night()
  nights["first"] = {
    "killed -9": kill_facts,
    "SIGTERM": term_facts,
    "to the end": facts,
    "done twice": len(kill & term) + len((kill | term) & rest),
    "problems": archive.problems(),
  }
  for name in ("second", "third"):
    taken = set()
    deleted = archive.choose(2 * few, taken)
    kept = [archive.result(place) for place in deleted]
    for place in deleted:
      (archive.photos / place).unlink()
    archive.change(later := archive.choose(few, taken), keep_time=False)
    archive.change(hidden := archive.choose(few, taken), keep_time=True)
    archive.damage(damaged := archive.choose(few, taken))
    for place in (lost := archive.choose(few, taken)):
      archive.result(place).unlink()
    added = archive.add(3 * few)
    expected = {*later, *hidden, *damaged, *lost, *added}
    facts = {
      "added": len(added),
      "changed": len(later),
      "changed with the old time": len(hidden),
      "deleted": len(deleted),
      "results damaged": len(damaged),
      "results lost": len(lost),
    }
    done = set()
    if name == "third":
      for label, number in (("killed -9", signal.SIGKILL), ("SIGTERM", signal.SIGTERM)):
        part, facts[label] = archive.stop(number, len(expected) // 3)
        done |= part
    rest, facts["to the end"] = archive.night()
    facts["done, but not due"] = len((done | rest) - expected)
    # A file whose row was written just before the kill may lack its line in the log.
    facts["due, but not done"] = len(expected - done - rest)
    facts["results of deleted photographs that are gone"] = sum(not p.exists() for p in kept)
    facts["problems"] = archive.problems()
    nights[name] = facts
  _, nights["nothing changed"] = archive.night()
  return nights


def _verification(archive: Archive, wrong: int) -> dict:
  """Damages, exchanges and outdates results, a third each; figures of `verify` by mode."""
  taken = {p.relative_to(archive.photos).as_posix() for p in archive.photos.glob("*/*")}
  taken = {place for place in taken if not archive.result(place).exists()}
  archive.damage(damaged := archive.choose(wrong // 3, taken))
  exchanged = archive.choose(wrong // 3, taken)
  for first, second in zip(exchanged[::2], exchanged[1::2]):
    data = archive.result(first).read_bytes(), archive.result(second).read_bytes()
    archive.replace(first, data[1])
    archive.replace(second, data[0])
  stale = archive.choose(wrong // 3, taken)
  archive.change(stale[: len(stale) // 2], keep_time=False)
  archive.change(stale[len(stale) // 2 :], keep_time=True)
  kinds = {"damaged": damaged, "exchanged": exchanged, "stale": stale}
  sources = f"--sources={archive.photos}"
  runs = [
    ("checksum", [], True),
    ("checksum, sources", [sources], True),
    ("checksum", [], False),
    ("checksum, sources", [sources], False),
    ("decode, sources", ["--mode=decode", sources], False),
  ]
  result = {}
  table, elsewhere = archive.small / "manifest.csv", archive.log.with_name("manifest.csv")
  deleted = [p for p in archive.small.glob("*/*.tfci") if not _source(archive, p).exists()]
  for name, options, has_table in runs:
    if table.exists() and not has_table:
      table.rename(elsewhere)
    label = name if has_table else f"{name}, without manifest.csv"
    result[label] = _verified(archive, options, kinds, len(deleted))
    print(label, result[label], flush=True)
  result["files"] = len(list(archive.small.glob("*/*.tfci")))
  return result


def _source(archive, path):
  return archive.photos / path.relative_to(archive.small).with_suffix("")


def _verified(archive, options, kinds, deleted):
  command = _program("verify", f"--log={archive.log}", "--recursive", *options, archive.small)
  begin = time.perf_counter()
  process = subprocess.run(command, capture_output=True, text=True)
  seconds = time.perf_counter() - begin
  lines = map(json.loads, archive.log.read_text().splitlines())
  wrong = {os.path.relpath(line["source"], archive.small) for line in lines if not line["ok"]}
  named = {f"{place}.tfci" for places in kinds.values() for place in places}
  return {
    "seconds": round(seconds, 1),
    "status": process.returncode,
    **{kind: sum(f"{p}.tfci" in wrong for p in places) for kind, places in kinds.items()},
    # Results of deleted photographs have no photograph, as `--sources` says.
    "others named": len(wrong - named),
    "of deleted photographs": deleted,
  }


def main(argv):
  """Runs the nights, then the verification."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    paths = sorted(common.find_images(_PHOTOGRAPHS.value))
    wholes = [image_files.read_image(path) for path in paths[:200]]
    with tempfile.TemporaryDirectory() as scratch:
      archive = Archive(pathlib.Path(scratch), wholes)
      results = {"nights": _nights(archive, _FILES.value)}
      print(json.dumps(results), flush=True)
      results["results that the codec makes otherwise"] = archive.differing(_CHECKED.value)
      results["verify"] = _verification(archive, _WRONG.value)
    print(json.dumps(results, indent=2))
    if _OUTPUT.value:
      common.write_json(_OUTPUT.value, results)


if __name__ == "__main__":
  app.run(main)
