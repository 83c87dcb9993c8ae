"""Compresses photographs to files, reads them back, and prints a table with a row for each.

`python -m experiments.round_trip.run --model=DIR --images='kodak/*.png' --csv=results.csv`

Columns: `bytes` of the file, header included; `estimated_bpp`, information content of the coded
latents under the float model; `latents_equal`, whether ŷ and ẑ came back bit for bit;
`excess_bytes`, file less estimate; `freezing_%`, bits of the payload over the float model's for the
same latents: the joint cost of integer networks, quantized tables and the range coder;
`own_float_%`, the same against the latents that the float model itself would code, position by
position; it scatters because other roundings lead to other latents.
"""

import os
import pathlib
import statistics
import tempfile

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import usage, verbose
from bmshj_minnen.format import reading
from bmshj_minnen.layers import quantizers
from experiments import common

_MODEL = flags.DEFINE_string("model", None, "A model directory.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_CSV = flags.DEFINE_string("csv", None, "File for the table, in addition to the output.")


def measure(codec: bmshj_minnen.Codec, model: bmshj_minnen.Model, path: str) -> dict[str, object]:
  """Sends one photograph through a file and returns its row of the table."""
  image = bmshj_minnen.read_image(path)
  pixels = image.shape[0] * image.shape[1]
  encode_seconds: dict[str, float] = {}
  decode_seconds: dict[str, float] = {}
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "image.tfci"
    data, sent = codec.compress_with_latents(image, encode_seconds)
    file.write_bytes(data)
    size = os.path.getsize(file)
    image_back = codec.decompress(file.read_bytes(), decode_seconds)
    received = codec.latents(file.read_bytes())
  payload_bits = 8 * len(reading.parse(data)[1])
  estimate = verbose.estimated_bits(model, sent)
  y, z_hat = codec.graphs.analyze(tf.constant(image))
  return {
    "image": pathlib.Path(path).stem,
    "bytes": size,
    "bpp": 8 * size / pixels,
    "estimated_bpp": estimate / pixels,
    "psnr_db": metrics.psnr(image, image_back),
    "ms_ssim": float(metrics.ms_ssim(image, image_back)),
    "encode_s": sum(encode_seconds.values()),
    "decode_s": sum(decode_seconds.values()),
    "latents_equal": all(a.tobytes() == b.tobytes() for a, b in zip(sent, received)),
    "excess_bytes": size - estimate / 8,
    "freezing_%": 100 * (payload_bits / estimate - 1),
    "own_float_%": 100 * (payload_bits / _own_bits(model, y, z_hat) - 1),
  }


def _own_bits(model, y, z_hat):
  """Bits of ẑ and of the ŷ that the float model would code with it: y [h, w, M], ẑ [h', w', N]."""
  y, z_hat = y[None], z_hat[None]
  psi = model.hyper_synthesis(z_hat, tf.shape(y))
  y_hat = quantizers.in_turn(y, model.mean_of(psi))
  return float(sum(model.rate(y_hat, z_hat))[0])


def main(argv):
  """Flags -> table."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    paths = common.find_images(_IMAGES.value)
    codec = bmshj_minnen.load(_MODEL.value)
    model = bmshj_minnen.load_model(_MODEL.value)
    measure(codec, model, paths[0])  # Traces the graphs, so that times exclude it.
    rows = []
    for path in paths:
      rows.append(measure(codec, model, path))
      if len(rows) == 1:
        print(" ".join(f"{name:>{_width(name)}}" for name in rows[0]))
      print(" ".join(f"{_text(value):>{_width(name)}}" for name, value in rows[-1].items()))
  mean = {
    name: statistics.fmean(row[name] for row in rows)
    for name, value in rows[0].items()
    if not isinstance(value, str)
  }
  print(" ".join(f"{_text(mean.get(name, 'mean')):>{_width(name)}}" for name in rows[0]))
  worst = max(row["excess_bytes"] - 0.01 * (row["bytes"] - row["excess_bytes"]) for row in rows)
  print(f"all latents equal: {all(row['latents_equal'] for row in rows)}")
  print(f"bytes beyond 1 % over the estimate, at worst: {worst:.1f}")
  for name in ("freezing_%", "own_float_%"):
    print(f"{name}, at worst: {max(row[name] for row in rows):.3f}")
  if _CSV.value:
    texts = [{name: _text(value) for name, value in row.items()} for row in rows]
    common.write_csv(_CSV.value, texts)


def _text(value):
  return f"{value:.4f}" if isinstance(value, float) else str(value)


def _width(name):
  return max(len(name), 8)


if __name__ == "__main__":
  app.run(main)
