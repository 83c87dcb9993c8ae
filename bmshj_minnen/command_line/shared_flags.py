"""Flags that programs share: files, output, models, quality and memory."""

import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Callable, Optional

from absl import flags

from bmshj_minnen.command_line import archive, files, own_modules, planning, runtimes, startup
from bmshj_minnen.config import CODEC_PRECISIONS, ModelConfig
from bmshj_minnen.effort import MAX_EFFORT, steps_of
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.images import encoding, image_files
from bmshj_minnen.targets import check_request

__all__ = [
  "GIB",
  "FileFlags",
  "PictureFlags",
  "QualityFlags",
  "RefinementFlags",
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
  flags.register_validator("memory", math.isfinite, "give a number")
  return holder


class FileFlags:
  """Defines flags of `compress` and `decompress`; values are available after parsing.

  Args:
    verb: participle for the files, such as "compressed".
  """

  def __init__(self, verb: str):
    self._output_dir = define_path("output_dir", None, f"Folder for the {verb} files.")
    self._recursive = flags.DEFINE_bool("recursive", False, "Search subfolders, too.")
    self._skip_existing = flags.DEFINE_bool(
      "skip_existing",
      False,
      "Keep existing results that are complete, were made from the present files, and satisfy the "
      "other flags, as far as time, size and header of a result show it.",
    )
    self._update = flags.DEFINE_bool(
      "update",
      False,
      "With --output_dir, keep results that its manifest.csv shows to be of the present files and "
      "of the same flags, do the others, and add them to the manifest.",
    )
    self._keep_extensions = flags.DEFINE_bool(
      "keep_extensions", False, "With --output_dir, name results a.jpg.tfci in place of a.tfci."
    )
    self._overwrite = define_overwrite()
    self._jobs = flags.DEFINE_integer(
      "jobs", 2, "Files converted at the same time; each takes its own memory.", lower_bound=1
    )
    self._memory = define_memory(2.0, "of all jobs may take; images are extra.")

  def request(self, paths: Sequence[str], keep_smaller: bool = False) -> planning.Request:
    """The request of the command line, with these positional arguments."""
    return planning.Request(
      tuple(map(os.path.expanduser, paths)),
      self.output_dir,
      self._recursive.value,
      self._skip_existing.value,
      self._keep_extensions.value,
      self._update.value,
      keep_smaller,
    )

  def results(
    self, is_own: Callable[[bytes], bool], manifest: Optional[archive.Archive] = None
  ) -> files.Results:
    """The writer of results.

    Args:
      is_own: first bytes of a file -> whether this program wrote it.
      manifest: the manifest of the folder, see `archive`.
    """
    return files.Results(
      is_own,
      self._overwrite.value,
      self._skip_existing.value or self.update,
      self.output_dir is not None,
      *([manifest.is_recorded] if manifest else []),
    )

  def open_archive(self) -> Optional[archive.Archive]:
    """The manifest of the folder, with `--update` or if it has one; else None.

    Raises:
      OSError: it cannot be read.
      ValueError: another program may have written it.
    """
    if not self.output_dir or not (self.update or archive.records_of(self.output_dir) is not None):
      return None
    return archive.Archive(self.output_dir, self._overwrite.value)

  @property
  def status(self) -> int:
    """The exit status of a run that cannot begin."""
    return startup.NOTHING_DONE if self.output_dir else startup.FAILED

  @property
  def update(self) -> bool:
    """Whether results are kept that the manifest shows to be up to date."""
    return self._update.value

  @property
  def output_dir(self) -> Optional[str]:
    """Folder for results; None: the result goes to a file that is named."""
    return self._output_dir.value

  @property
  def jobs(self) -> int:
    """Number of files that are converted at the same time."""
    return self._jobs.value

  @property
  def memory(self) -> int:
    """Bytes that the networks may take for one file."""
    return int(self._memory.value * GIB / self.jobs)


class PictureFlags:
  """Defines flags of picture files that are written; values are available after parsing."""

  def __init__(self):
    self._format = flags.DEFINE_enum(
      "format", None, encoding.names(), "Format of files without a suffix or in --output_dir; png."
    )
    self._quality = flags.DEFINE_integer(
      "output_quality",
      None,
      "Quality of JPEG, WebP and AVIF; by default little extra loss: "
      f"{encoding.DEFAULT_LOSSY_QUALITY}.",
      lower_bound=1,
      upper_bound=100,
    )

  @property
  def suffix(self) -> str:
    """Suffix of results that the command line does not name."""
    return f".{self._format.value or 'png'}"

  @property
  def quality(self) -> Optional[int]:
    """Quality of lossy formats, 1 to 100; None: the default."""
    return self._quality.value

  def format_of(self, target: Optional[str]) -> str:
    """Pillow's name of the format of `target`; None: the format of files in a folder.

    Raises:
      ValueError: the format is unknown, differs from `--format`, or has no quality.
    """
    result = asked_for = encoding.format_of(f"picture{self.suffix}")
    if target is not None and pathlib.Path(target).suffix:
      result = encoding.format_of(target)
    if self._format.value and asked_for != result:
      raise ValueError(f"{target} is not of --format={self._format.value}: leave that out")
    if self.quality and result not in encoding.LOSSY.values():
      lossy = ", ".join(encoding.LOSSY)
      raise ValueError(f"--output_quality is for {lossy}: {result} is written without loss")
    return result


class QualityFlags:
  """Defines flags of models for many rates: a quality or a target; available after parsing."""

  def __init__(self):
    self._flags = {
      "quality": flags.DEFINE_float(
        "quality", None, "1 (smallest files) to 100, in halves; 50 by default."
      ),
      "bpp": flags.DEFINE_float("bpp", None, "Instead of a quality: maximum bits per pixel."),
      "bytes": flags.DEFINE_integer("bytes", None, "Instead of a quality: maximum bytes per file."),
      "psnr": flags.DEFINE_float("psnr", None, "Instead of a quality: minimum PSNR in dB."),
    }

  def arguments(self, config: Optional[ModelConfig]) -> dict[str, float]:
    """Keyword arguments for `Codec.compress`: a quality, a target, or none.

    Args:
      config: config of the model; None: the codec checks the arguments later.

    Raises:
      ValueError: more than one flag is given, a value is out of range, or the model has one rate.
    """
    given = {name: flag.value for name, flag in self._flags.items() if flag.value is not None}
    if len(given) > 1:
      raise ValueError(f"give only one of {', '.join(f'--{name}' for name in given)}")
    for name, value in given.items():
      if not 0 < value < math.inf:
        raise ValueError(f"--{name} must be above 0, not {value:g}")
    if config:
      check_request(given, config)
    return given


class RefinementFlags:
  """Defines flags of programs that can refine latents; values are available after parsing."""

  def __init__(self):
    self._effort = flags.DEFINE_integer(
      "effort",
      0,
      "0 to 9: time for smaller files, by gradient descent on the latents of each photograph; "
      "decompressing takes no longer. The README has seconds and savings.",
      lower_bound=0,
      upper_bound=MAX_EFFORT,
    )
    self._refine = flags.DEFINE_integer(
      "refine", 0, "Instead of --effort: the number of its steps.", lower_bound=0
    )
    flags.register_multi_flags_validator(
      ("effort", "refine"),
      lambda values: not (values["effort"] and values["refine"]),
      "give one of the two",
    )
    self._lambda = flags.DEFINE_float(
      "lambda",
      None,
      "λ of R + λD for --effort; by default the λ of the quality, or of the model's training.",
    )
    flags.register_validator(
      "lambda", lambda value: value is None or 0 < value < math.inf, "give a number above 0"
    )

  @property
  def arguments(self) -> dict[str, Any]:
    """Keyword arguments for `bmshj_minnen.load`.

    Raises:
      ValueError: `--lambda` is given without `--effort` or `--refine`.
    """
    return {"refine": self._refine.value, "effort": self._effort.value, "lmbda": self.lmbda}

  @property
  def steps(self) -> int:
    """Number of steps of gradient descent; 0: the latents are not refined."""
    return steps_of(self._effort.value, self._refine.value)

  @property
  def lmbda(self) -> Optional[float]:
    """λ of R + λD for the refinement; None: the default.

    Raises:
      ValueError: `--lambda` is given without `--effort` or `--refine`.
    """
    if self._lambda.value is not None and not self.steps:
      raise ValueError("--lambda is for --effort: give --effort=4, or leave it out")
    return self._lambda.value
