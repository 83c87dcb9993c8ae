"""The flags that `beam_compress` and `beam_decompress` share."""

from absl import flags

from bmshj_minnen.command_line import shared_flags

__all__ = ["CorpusFlags"]

flags.disclaim_key_flags()  # They are those of the program, whose `--help` lists them.


class CorpusFlags:
  """Defines flags of `beam_compress` and `beam_decompress`; values are available after parsing."""

  def __init__(self):
    self._input = shared_flags.define_paths(
      "input",
      None,
      "A file, a folder or a glob, such as gs://bucket/**; may be repeated.",
      required=True,
    )
    self._output = shared_flags.define_path("output", None, "Folder for results.", required=True)
    self._overwrite = shared_flags.define_overwrite()
    self._runner = flags.DEFINE_string("runner", "DirectRunner", "Beam's engine.")
    self._memory = shared_flags.define_memory(1.0, "may take per file; images are extra.")

  @property
  def corpus(self) -> tuple[tuple[str, ...], str, bool]:
    """Inputs, output, and whether to overwrite: the arguments of `pipeline.Corpus`."""
    return tuple(self._input.value), self._output.value, self._overwrite.value

  @property
  def runner(self) -> str:
    """Beam's name of the engine that runs the pipeline."""
    return self._runner.value

  @property
  def memory(self) -> int:
    """Bytes that the networks may take per file."""
    return int(self._memory.value * shared_flags.GIB)

  @property
  def imports(self) -> tuple[str, ...]:
    """The modules of `--import`, for workers in other processes."""
    return tuple(flags.FLAGS["import"].value)
