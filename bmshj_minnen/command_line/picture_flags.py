"""Flags of the picture files that a program writes."""

import pathlib
from typing import Optional

from absl import flags

from bmshj_minnen.images import encoding

__all__ = ["PictureFlags"]

flags.disclaim_key_flags()  # They belong to the program, whose `--help` must list them.


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
