"""Interfaces of the codecs that can be evaluated, and of the formats they write."""

from typing import Protocol

import numpy as np

__all__ = ["REMEDY", "REMEDY_CODECS", "Format", "MeasuredCodec"]

# These install missing packages.
REMEDY = "pip install 'bmshj_minnen[evaluation]'"
REMEDY_CODECS = "pip install 'bmshj_minnen[codecs]'"


class MeasuredCodec(Protocol):
  """Interface of codecs that can be evaluated, such as `bmshj_minnen.Codec`."""

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file."""

  def decompress(self, data: bytes) -> np.ndarray:
    """The bytes of a file -> [H, W, 3] uint8."""


class Format(Protocol):
  """Interface of formats with a quality.

  Attributes:
    suffix: suffix of files, with the dot.
    limits: the lowest and the highest quality.
    qualities: qualities that span the useful rates.
  """

  suffix: str
  limits: tuple[int, int]
  qualities: tuple[int, ...]

  def version(self) -> str:
    """The encoder, its version and, if they are many, its settings.

    Raises:
      ValueError: the encoder is not installed.
    """

  def make(self, quality: int) -> MeasuredCodec:
    """The codec at one quality.

    Raises:
      ValueError: the encoder is not installed.
    """
