"""Damaged pictures that decoders do not refuse, and a reader's outcomes with them."""

import dataclasses
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen.images import image_files

__all__ = ["OUTCOMES", "SERVED", "Case", "changed", "outcome", "picture", "read", "served_outcome"]

_CLOSE = 2  # Levels by which equal pictures may differ.
OUTCOMES = ("control's picture", "a note", "refused", "another picture without a word")
SERVED = ("the same picture", "refused", "another picture")
_ROWS, _COLUMNS = np.mgrid[40:216:64j, 40:216:64j]


@dataclasses.dataclass(frozen=True)
class Case:
  """A damaged file.

  Attributes:
    kind: kind of damage.
    container: format of the good file, and more about it.
    control: the good file.
    content: the damaged file.
  """

  kind: str
  container: str
  control: bytes
  content: bytes


def picture() -> np.ndarray:
  """A picture [64, 64, 3] uint8 that reveals wrong colours and turns; smooth, for small loss."""
  return np.stack([_ROWS, _COLUMNS, 256 - _ROWS], -1).round().astype(np.uint8)


def changed(content: bytes, at: int, new: bytes) -> bytes:
  """Replaces the bytes of a file at a position."""
  return content[:at] + new + content[at + len(new) :]


def read(content: bytes) -> tuple[Optional[np.ndarray], list[str]]:
  """Reads a picture [H, W, 3] uint8, or None where it is refused, and the messages."""
  said = []
  try:
    return image_files.read_image("x", note=said.append, content=content), said
  except image_files.ImageError as error:
    return None, [str(error)]


def outcome(case: Case) -> str:
  """One of `OUTCOMES`.

  Raises:
    ValueError: a message has several lines.
  """
  found, said = read(case.content)
  if any("\n" in line for line in said):
    raise ValueError(f"{case.kind}, {case.container}: not one line: {said}")
  if found is None:
    return OUTCOMES[2]
  if said:
    return OUTCOMES[1]
  return OUTCOMES[0 if _is_close(found, read(case.control)[0]) else 3]


def served_outcome(reader: Callable[[tf.Tensor], tf.Tensor], case: Case) -> str:
  """One of `SERVED`: the outcome of a reader within a graph, compared with the library."""
  try:
    found = reader(tf.constant(case.content)).numpy()
  except tf.errors.InvalidArgumentError:
    return SERVED[1]
  return SERVED[0 if _is_close(found, read(case.content)[0]) else 2]


def _is_close(one, two):
  if one is None or two is None or one.shape != two.shape:
    return False
  return np.abs(one.astype(int) - two).max() <= _CLOSE
