"""Verifies compressed files: `python -m bmshj_minnen.verify FILES, folders or globs`.

python -m bmshj_minnen.verify --recursive small  # Only checksums.
python -m bmshj_minnen.verify --mode=decode --recursive small
python -m bmshj_minnen.verify --mode=decode --sources=photos --recursive small
"""

import os
import sys

from absl import flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import (
  many_files,
  planning,
  run_log,
  run_metrics,
  run_records,
  runtimes,
  shared_flags,
  verification,
)

_SUFFIXES = frozenset((".tfci",))

_MODEL = shared_flags.define_decoding_model()
_MODE = flags.DEFINE_enum(
  "mode",
  verification.MODES[0],
  verification.MODES,
  "checksum reads each file; decode also decodes its image, which takes about 200 times as long.",
)
_RECURSIVE = flags.DEFINE_bool("recursive", False, "Look into folders within folders.")
_SOURCES = shared_flags.define_path(
  "sources",
  None,
  "Folder of the photographs. Each file must have the modification time of its photograph; with "
  "--mode=decode size and PSNR are checked, too. Photographs without a file are errors.",
)
_MIN_PSNR = flags.DEFINE_float("min_psnr", 20.0, "Lowest PSNR against the photograph, dB.")
_ALPHA = shared_flags.define_alpha()
_LOG = shared_flags.define_log()
_METRICS = shared_flags.define_metrics()
_JOBS = flags.DEFINE_integer("jobs", 2, "Files at the same time.", lower_bound=1)
_MEMORY = shared_flags.define_memory(2.0, "of all jobs may take; images are extra.")
_MAX_PIXELS = shared_flags.define_max_pixels()
_RUNTIME = shared_flags.define_runtime()


def _codec_for(jobs):
  """A function from the content of a file to its codec; None if only checksums are verified."""
  if _MODE.value == "checksum":
    return None
  loader = runtimes.choose(
    _RUNTIME.value,
    _MODEL.value,
    jobs,
    runtimes.pixels_of_compressed,
    reports=False,
    max_pixels=_MAX_PIXELS.value,
    memory=int(_MEMORY.value * shared_flags.GIB / _JOBS.value),
  )
  return loader.codec_of(_MODEL.value)


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors():
    roots = [os.path.expanduser(path) for path in argv[1:]]
    paths = planning.sources(roots, _SUFFIXES, _RECURSIVE.value)
    jobs = [planning.Job(path, path) for path in paths]
    sources = None
    if _SOURCES.value is not None:
      sources = verification.sources_of(paths, roots, _SOURCES.value)
    metrics = run_metrics.RunMetrics(_METRICS.value, "verify")
    records = run_records.Records(run_log.RunLog(_LOG.value), metrics)
    rows = verification.records_of(roots)
    lost = {path: "is in the manifest, but gone" for path in rows if not os.path.isfile(path)}
    if sources is not None:
      missing = verification.missing(sources.values(), _SOURCES.value, roots)
      lost.update(dict.fromkeys(missing, "has no compressed file"))
    for path, line in lost.items():
      print(f"error: {path}: {line}", file=sys.stderr)
      records.add(path, ok=False, error=line)
    check = verification.Check(
      _MODE.value, _codec_for(jobs), sources, rows, _MIN_PSNR.value, _ALPHA.value
    )
    work = many_files.Work(
      read=lambda path, note: path,
      convert=lambda path, progress, facts: (check(path, progress, facts), list),
      write=lambda target, result, source: None,
      is_done=lambda source, target: False,
    )
    plan = planning.Plan(jobs, is_folder=True)
    outcome = many_files.run(plan, work, _JOBS.value, "verified", records)
    sys.exit(int(outcome.failed > 0 or bool(lost)))


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
