"""Single flags that programs share: paths, models, precision, runtime and memory."""

import os
from typing import Optional

from absl import flags

from bmshj_minnen.command_line import own_modules, runtimes
from bmshj_minnen.config import CODEC_PRECISIONS
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.images import image_files

__all__ = [
  "GIB",
  "define_alpha",
  "define_decoding_model",
  "define_imports",
  "define_log",
  "define_max_pixels",
  "define_memory",
  "define_metrics",
  "define_model",
  "define_overwrite",
  "define_path",
  "define_paths",
  "define_precision",
  "define_runtime",
]

flags.disclaim_key_flags()  # They belong to the program, whose `--help` must list them.

GIB = 2**30
_MAX_GIB = 2**20


class _PathParser(flags.ArgumentParser):
  """Parser of flags that name files; shells expand ~ in few of them."""

  def parse(self, argument):
    return os.path.expanduser(argument)

  def flag_type(self):
    return "path"


def define_path(name: str, default: Optional[str], words: str, **options) -> flags.FlagHolder:
  """Defines a flag that names a file, a folder or a pattern; ~ is the user's home."""
  serializer = flags.ArgumentSerializer()
  return flags.DEFINE(_PathParser(), name, default, words, serializer=serializer, **options)


def define_paths(
  name: str, default: Optional[list[str]], words: str, **options
) -> flags.FlagHolder:
  """Defines a repeatable flag that names files, folders or patterns; ~ is the user's home."""
  parser, serializer = _PathParser(), flags.ArgumentSerializer()
  return flags.DEFINE_multi(parser, serializer, name, default, words, **options)


def define_imports() -> None:
  """Defines `--import`: modules that register networks, priors or quantizers, imported at once."""
  words = "A module that registers networks or other parts of models, imported first; repeatable."
  flags.DEFINE_multi_string("import", [], words)
  flags.register_validator("import", _import)


def _import(modules):
  try:
    own_modules.import_all(modules)
  except ValueError as error:
    raise flags.ValidationError(str(error)) from error
  return True


def define_model() -> flags.FlagHolder:
  """Defines `--model` of programs that need a model, and `--import`."""
  define_imports()
  return define_path("model", "", "A model directory, or the name of a shipped model.")


def define_decoding_model() -> flags.FlagHolder:
  """Defines `--model` of programs that decompress, and `--import`."""
  define_imports()
  return define_path(
    "model", "", "Model directory that compressed the files; not needed for shipped models."
  )


def define_alpha() -> flags.FlagHolder:
  """Defines `--alpha`."""
  return flags.DEFINE_enum(
    "alpha",
    None,
    image_files.ALPHA,
    "Background colour of transparency, or drop; refused by default.",
  )


def define_max_pixels() -> flags.FlagHolder:
  """Defines `--max_pixels` of programs that decompress."""
  return flags.DEFINE_integer(
    "max_pixels",
    DEFAULT_MAX_PIXELS,
    "Maximum number of pixels; files that declare more are refused.",
    lower_bound=1,
  )


def define_log() -> flags.FlagHolder:
  """Defines `--log`."""
  return define_path("log", None, "Log with a line of JSON for each file; an old log is replaced.")


def define_metrics() -> flags.FlagHolder:
  """Defines `--metrics`."""
  return define_path(
    "metrics", None, "File for figures of the run as Prometheus' text, written whole; is replaced."
  )


def define_precision() -> flags.FlagHolder:
  """Defines `--precision`."""
  return flags.DEFINE_enum(
    "precision",
    CODEC_PRECISIONS[0],
    CODEC_PRECISIONS,
    "Precision of g_a and g_s; bfloat16 takes half the time on processors with AVX512-BF16 or AMX, "
    "and far longer on others; auto takes the faster one.",
  )


def define_runtime() -> flags.FlagHolder:
  """Defines `--runtime` of programs that code files."""
  return flags.DEFINE_enum(
    "runtime",
    runtimes.RUNTIMES[0],
    runtimes.RUNTIMES,
    "ONNX Runtime starts sooner, TensorFlow is faster with many pixels; auto takes the one that "
    "finishes first and supports the other flags. Both read the same latents from a file; pixels "
    "may differ by one level.",
  )


def define_overwrite() -> flags.FlagHolder:
  """Defines `--overwrite`."""
  return flags.DEFINE_bool(
    "overwrite", False, "Replace any file; by default, only files that this program surely wrote."
  )


def define_memory(default: float, words: str) -> flags.FlagHolder:
  """Defines `--memory`, in GiB; its help goes on with `words`."""
  holder = flags.DEFINE_float("memory", default, f"GiB that the networks {words}", lower_bound=0.0)
  flags.register_validator(
    "memory", lambda gib: 0 <= gib <= _MAX_GIB, "give a number up to 1048576"
  )
  return holder
