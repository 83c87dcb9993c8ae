"""Converts a corpus of files with Apache Beam, on one machine or on a cluster.

    here          files ──► places of results, and refusals
    workers                 convert, or keep the result ──► rows: made, existing or failed
    one worker              all rows ──► manifest.csv, failures.csv, counts.json
    here                    counts

Results are named as in `planning`. Paths are any that Beam's file systems know, such as gs://. The
pipeline uses only steps that every engine has: no side outputs, no metrics, no writers of Beam.
"""

import dataclasses
import importlib
import logging
import re
import secrets

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from bmshj_minnen.command_line import files
from bmshj_minnen.corpus import converting, file_rows, listing, run_tables, storage

__all__ = ["Corpus", "run"]

# These run in this process: Beam's own choice for DirectRunner may download a runner first.
_RUNNERS = {
  "DirectRunner": "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
  "DaskRunner": "apache_beam.runners.dask.dask_runner.DaskRunner",
}
# Dask divides the files among parts. Their number grows more slowly than the corpus, because the
# cost of sending files from part to part grows faster than the number of parts.
_MIN_DASK_PARTS, _MAX_DASK_PARTS = 32, 1024
_FILES_OF_DASK_PART = 200
# Message of `storage.write_file` in the error of a pipeline.
_UNWRITTEN = re.compile(r"WriteError: (.*?) \[while running '")
# Beam prints the traceback of any error that ends a pipeline; for a full disk, and for Ctrl-C, one
# line is enough.
logging.getLogger("apache_beam.runners.common").addFilter(
  lambda record: (
    "WriteError" not in str(record.exc_info)
    and not isinstance((record.exc_info or (None, None))[1], KeyboardInterrupt)
  )
)
# Beam also warns of unknown arguments, which are refused here.
logging.getLogger("apache_beam.options.pipeline_options").addFilter(
  lambda record: "unparseable args" not in str(record.msg)
)


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Sources and output of a run.

  Attributes:
    inputs: files, folders (all files in them with a suffix of the task) and globs (all files that
      match; `**` matches any folders). Folders and globs leave out files that are hidden or below
      `output`.
    output: folder for manifest.csv, failures.csv and the results, which keep the places of their
      sources below the folder or the fixed part of the glob.
    overwrite: whether results and tables replace files of other programs.
  """

  inputs: tuple[str, ...]
  output: str
  overwrite: bool = False


def run(
  corpus: Corpus, task: converting.Task, runner: str, arguments: list[str]
) -> file_rows.CorpusOutcome:
  """Runs the pipeline to its end.

  Each result is written completely or not at all, and valid results are kept, see `Convert`: a
  killed run continues when it is started again. The manifest lists all results in the output.

  Args:
    corpus: sources and output.
    task: conversion of each file.
    runner: Beam's name of the engine, such as DirectRunner.
    arguments: arguments of Beam and its runner, as on a command line.

  Raises:
    ValueError: the model does not exist, an input matches no file, the output is not a folder or
      has tables of another program, or Beam does not know the runner or an argument.
    KeyboardInterrupt: Ctrl-C.
    OSError: a result could not be written.
    RuntimeError: the pipeline did not finish.
  """
  output = listing.absolute(corpus.output)
  problem = _problem_in(output, task)
  task.load()  # Reports a wrong model before workers start.
  _import_runner(runner)
  options = PipelineOptions(arguments, runner=_RUNNERS.get(runner, runner))
  _refuse_unknown(arguments, runner, options)
  manifest, earlier = run_tables.read(output, corpus.overwrite)
  earlier = {source: why for source, why in earlier.items() if FileSystems.exists(source)}
  patterns = [p for path in corpus.inputs for p in listing.patterns_of(path, task.suffixes)]
  works, failures = listing.find(patterns, output, task.new_suffix, problem, manifest)
  failures = [file_rows.FileRow(file_rows.FAILED, failure) for failure in failures]
  name = secrets.token_hex(8)
  of_tables = output, name, corpus.overwrite, earlier
  if works:
    if runner == "DaskRunner":
      options = PipelineOptions(_with_parts(arguments, len(works)), runner=_RUNNERS[runner])
    pipeline = beam.Pipeline(options=options)
    # The first groups let engines distribute the files, which they would otherwise keep in one
    # place; the second group is all rows. Every process groups integer keys in the same way.
    _ = (
      pipeline
      | "Files" >> beam.Create(list(enumerate(works)))
      | "Hand out" >> beam.GroupByKey()
      | "Convert" >> beam.ParDo(converting.Convert(task, output, corpus.overwrite))
      | "All rows" >> beam.GroupByKey()
      | "Write tables" >> beam.ParDo(_WriteTables(failures, of_tables))
    )
    _finish(pipeline)
  else:  # Without files, the last step would not run.
    file_rows.write_tables(failures, *of_tables)
  return file_rows.CorpusOutcome(**run_tables.read_counts(output, name))


def _problem_in(output, task):
  """A function: target -> why no result can be written to it, as far as this machine can check.

  Raises:
    ValueError: no result can be written, because the output is not a folder.
  """
  if not storage.is_local(output):
    return lambda target: None
  line = files.folder_problem(output, must_exist=False)
  if line:
    raise ValueError(line)
  return files.Results(task.is_own, skip_existing=True, makes_folders=True).problem


def _finish(pipeline):
  result = None
  try:
    result = pipeline.run()
    state = result.wait_until_finish()
  except Exception as error:
    interrupt = _interrupt_behind(error)
    if interrupt is not None:
      raise type(interrupt) from None
    found = _UNWRITTEN.search(f"{type(error).__name__}: {error}")
    if not found:
      raise
    raise OSError(f"cannot write: {found[1]}") from error
  finally:
    if hasattr(result, "client"):  # Only Dask has one.
      result.client.close()
  if state not in (None, PipelineState.DONE):
    raise RuntimeError(f"the pipeline ended as {state}")


def _interrupt_behind(error):
  """The Ctrl-C or SIGTERM from which Beam made an error, if it did.

  The DirectRunner converts files in the main thread, and Beam makes a RuntimeError of anything that
  is raised there.
  """
  while error is not None and not isinstance(error, KeyboardInterrupt):
    error = error.__cause__ or error.__context__
  return error


def _import_runner(runner):
  """Imports a runner, so that Beam knows the runner's arguments."""
  if runner not in _RUNNERS:
    return
  try:
    importlib.import_module(_RUNNERS[runner].rpartition(".")[0])
    if runner == "DaskRunner":
      importlib.import_module("dask.distributed")
  except ImportError as error:
    raise ValueError(f"{runner} is not installed ({error}): pip install '.[dask]'") from error


def _with_parts(arguments, files):
  """Arguments with a number of parts; Dask's default would leave most workers without files."""
  if any(argument.startswith(("--dask_npart", "--dask_part")) for argument in arguments):
    return arguments
  parts = max(_MIN_DASK_PARTS, min(_MAX_DASK_PARTS, files // _FILES_OF_DASK_PART))
  return [*arguments, f"--dask_npartitions={min(files, parts)}"]


def _refuse_unknown(arguments, runner, options):
  """Refuses arguments that Beam would drop with a warning; other runners may know more of them."""
  parsers, before = [], ""
  options.get_all_options(add_extra_args_fn=parsers.append)
  for argument in parsers[0].parse_known_args(arguments)[1]:
    is_value = not argument.startswith("-") and before.startswith("--") and "=" not in before
    if runner in _RUNNERS or not (is_value or argument.startswith("--")):
      raise ValueError(f"unknown argument {argument}")
    before = argument


class _WriteTables(beam.DoFn):
  """All rows -> the tables."""

  def __init__(self, rows: list[file_rows.FileRow], of_tables: tuple):
    self._rows, self._of_tables = rows, of_tables

  def process(self, element):
    rows = [file_rows.FileRow(*row) for row in element[1]]
    file_rows.write_tables(rows + self._rows, *self._of_tables)
