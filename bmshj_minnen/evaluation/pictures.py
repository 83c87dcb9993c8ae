"""Pictures of a report: originals, reconstructions of nearly equal sizes, and maps of bits.

Originals are lossless WebP. Reconstructions are AVIF 4:4:4 of high quality: lossless files would be
many times as large. Maps of bits are PNG.
"""

import functools
import io
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Callable, Optional

import numpy as np
import PIL.Image
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.codec import Latents
from bmshj_minnen.evaluation import classical
from bmshj_minnen.evaluation.measurements import Row
from bmshj_minnen.evaluation.subjects import Contender, Photograph
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import model_directory

__all__ = ["BITS_COLOURS", "MAX_BITS", "KeptFiles", "Pictures", "levels", "position_bits"]

KeptFiles = Callable[[Contender, Photograph], Optional[bytes]]

MAX_BITS = 576  # Bits per position at the end of the colour scale; larger values are clipped.
# Colours of 0 to `MAX_BITS` bits, in equal steps of the square root: Cividis, made for all kinds of
# colour vision.
BITS_COLOURS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")

_SIZES = 4  # Sizes per photograph.
_DECODED = {
  "format": "AVIF",
  "quality": 72,
  "speed": 8,
  "subsampling": "4:4:4",
  "advanced": {"tune": "psnr"},
}


def levels(rows: Sequence[Row], codecs: Sequence[str]) -> list[dict[str, Row]]:
  """Rows that are shown side by side, at sizes that span the sizes of the first codec.

  Args:
    rows: rows of one photograph.
    codecs: names of the codecs that are shown.

  Returns:
    For each size, from small to large, the row of each codec that is nearest in bytes.
  """
  own = {codec: [row for row in rows if row.codec == codec] for codec in codecs}
  own = {codec: sorted(group, key=lambda row: row.bytes) for codec, group in own.items() if group}
  if not own:
    return []
  first = next(iter(own.values()))
  chosen = np.unique(np.linspace(0, len(first) - 1, _SIZES).round().astype(int))
  return [
    {codec: _nearest(group, first[index].bytes) for codec, group in own.items()} for index in chosen
  ]


def _nearest(rows, size):
  return min(rows, key=lambda row: abs(np.log(row.bytes / size)))


def position_bits(model: Model, latents: Latents) -> np.ndarray:
  """Estimated bits of ŷ at each position, over all channels, without ẑ: [h, w] float32."""
  y_hat, z_hat = latents.y_hat[None], latents.z_hat[None]
  return model.latent_bits(y_hat, z_hat).numpy()[0].sum(-1)


class Pictures:
  """A folder of pictures; existing pictures are not made again.

  Args:
    folder: the folder; created if it is missing.
    kept: returns the compressed file of a photograph, or None if it must be made.

  Raises:
    ValueError: this Pillow cannot write AVIF.
  """

  def __init__(self, folder: pathlib.Path, kept: KeptFiles = lambda contender, photograph: None):
    classical.FORMATS["avif"].version()
    folder.mkdir(parents=True, exist_ok=True)
    self._folder, self._kept = folder, kept

  def original(self, photograph: Photograph) -> str:
    """Writes a photograph and returns the name of the file."""
    name = f"{_slug(photograph.name)}-{photograph.crc32}.webp"
    if not (self._folder / name).exists():
      self._write(name, photograph.read(), format="WEBP", lossless=True)
    return name

  def decoded(
    self, contender: Contender, photographs: Sequence[Photograph]
  ) -> list[tuple[str, str]]:
    """Writes the reconstructions of photographs by a codec.

    Returns:
      For each photograph the name of the reconstruction and the name of the map of bits per
      position; the latter is empty for classical codecs.
    """
    names = [self._names(contender, photograph) for photograph in photographs]
    missing = [
      (photograph, own)
      for photograph, own in zip(photographs, names)
      if not all((self._folder / name).exists() for name in own if name)
    ]
    if missing:
      logging.info("pictures of %s %s: %d", contender.codec, contender.setting, len(missing))
      codec = contender.make()
      for photograph, own in missing:
        self._make(contender, codec, photograph, *own)
    return names

  def _names(self, contender, photograph):
    key = (photograph.name, photograph.crc32, contender.codec, contender.setting)
    key += (contender.version, str(_DECODED))
    digest = zlib.crc32("\n".join(key).encode())
    name = "-".join(map(_slug, (photograph.name, contender.codec, contender.setting)))
    name = f"{name}-{digest:08x}"
    return f"{name}.avif", f"{name}.png" if contender.model else ""

  def _make(self, contender, codec, photograph, name, bits_name):
    x = photograph.read()
    data = self._kept(contender, photograph)
    if data is None:
      data = codec.compress(x)
    if bits_name:
      bits = position_bits(_load_model(contender.model), codec.latents(data))
      image = PIL.Image.fromarray(_levels_of(bits, *x.shape[:2]), "P")
      image.putpalette(_palette().tobytes())
      self._save(bits_name, image, format="PNG", optimize=True)
    self._write(name, codec.decompress(data), **_DECODED)

  def _write(self, name, image, **options):
    self._save(name, PIL.Image.fromarray(image), **options)

  def _save(self, name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    outputs.write_atomically(str(self._folder / name), buffer.getvalue())


@functools.lru_cache(1)  # A model may have many settings.
def _load_model(directory):
  return model_directory.load_model(str(directory))


def _slug(text):
  """A text without characters that are unsafe in file names and URLs."""
  return re.sub(r"[^A-Za-z0-9_.]+", "_", text).strip("_.") or "_"


def _levels_of(bits, height, width):
  """Bits per position [h, w] -> indices of colours [height, width] uint8."""
  fraction = np.sqrt(np.minimum(bits, MAX_BITS) / MAX_BITS)
  levels_ = np.round(255 * fraction).astype(np.uint8)
  stride = cfg.LATENT_STRIDE
  return levels_.repeat(stride, 0).repeat(stride, 1)[:height, :width]


def _palette():
  """The colour scale, [256, 3] uint8."""
  stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in BITS_COLOURS])
  at = np.linspace(0, 1, len(stops))
  channels = [np.interp(np.linspace(0, 1, 256), at, channel) for channel in stops.T]
  return np.stack(channels, -1).round().astype(np.uint8)
