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
  archive_contents,
  many_files,
  planning,
  run_log,
  run_metrics,
  run_records,
  runtimes,
  shared_flags,
  verification,
)

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
  "--mode=decode size and PSNR are checked, too. If folders are verified, photographs without a "
  "file are errors.",
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
    paths = [os.path.expanduser(path) for path in argv[1:]]
    contents = archive_contents.find(paths, _RECURSIVE.value, _SOURCES.value)
    metrics = run_metrics.RunMetrics(_METRICS.value, "verify")
    records = run_records.Records(run_log.RunLog(_LOG.value), metrics)
    for path, line in contents.lost.items():
      records.add(path, ok=False, error=line)
    plan = _plan(contents)
    check = verification.Check(
      _MODE.value, _codec_for(plan.jobs), contents, _MIN_PSNR.value, _ALPHA.value
    )
    work = many_files.Work(
      read=lambda path, note: path,
      convert=lambda path, progress, facts: (check(path, progress, facts), list),
      write=lambda target, result, source: None,
      is_done=lambda source, target: False,
    )
    outcome = many_files.run(plan, work, _JOBS.value, "verified", records)
    sys.exit(outcome.status(is_folder=False))


def _plan(contents):
  gone, lines = contents.gone, ()
  if gone:
    lines = (f"files whose photographs are gone: {len(gone)}, such as {gone[0]}",)
  return planning.Plan(
    jobs=[planning.Job(path, path) for path in contents.files],
    is_folder=True,
    refusals=tuple(planning.RefusedFile(f"{path}: {line}") for path, line in contents.lost.items()),
    notes=lines,
  )


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
