"""Compresses and decompresses large photographs: peak resident memory, seconds and bytes.

python -m experiments.reliability.sizes --megapixels=12,24,100 --images='kodak/*.png'

Makes photographs by laying given ones side by side, compresses and decompresses each in a process
of its own, and compares results with and without division into tiles.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import model_directory
from experiments import common, untrained

_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory.")
_UNTRAINED = flags.DEFINE_integer("untrained", None, "N = M of an untrained model, used instead.")
_IMAGES = flags.DEFINE_string("images", None, "Glob; without it the bundled photographs.")
_MEGAPIXELS = flags.DEFINE_list("megapixels", ["12", "24", "100"], "Sizes of the photographs.")
_MEMORY = flags.DEFINE_float("memory", 2.0, "--memory of compress and decompress.")
_COMPARE = flags.DEFINE_float("compare", 0.0, "Megapixels to compare without tiles; 0: none.")

# Photographs consist of cells of this size, so that their content is natural everywhere.
_CELL = (512, 768)
_ASPECT = 1.5
_WHOLE = 2**50  # Bytes of memory, so that nothing is divided.


def _photograph(paths, megapixels):
  """A photograph [H, W, 3] uint8 of about this size, 3:2, from the given files in turn."""
  height = round((megapixels * 1e6 / _ASPECT) ** 0.5)
  width = round(_ASPECT * height)
  result = np.empty([height, width, 3], np.uint8)
  corners = [(i, j) for i in range(0, height, _CELL[0]) for j in range(0, width, _CELL[1])]
  cells = [_cell(path) for path in paths]
  for number, (i, j) in enumerate(corners):
    target = result[i : i + _CELL[0], j : j + _CELL[1]]
    target[...] = cells[number % len(cells)][: target.shape[0], : target.shape[1]]
  return result


def _cell(path):
  image = image_files.read_image(path)
  repeats = [-(-side // size) for side, size in zip(_CELL, image.shape)]
  return np.tile(image, (*repeats, 1))[: _CELL[0], : _CELL[1]]


def _measured(program, model, source, target):
  """Converts one file in a process: seconds, processor seconds, peak memory in GiB."""
  command = [sys.executable, "-m", f"bmshj_minnen.{program}", f"--model={model}"]
  command += ["--overwrite", f"--memory={_MEMORY.value}", str(source), str(target)]
  start = time.perf_counter()
  process = subprocess.Popen(command)
  _, status, usage = os.wait4(process.pid, 0)
  if status:
    raise ValueError(f"{program} failed on {source}")
  return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def _rows(model, paths, folder):
  for megapixels in map(float, _MEGAPIXELS.value):
    source, small, back = folder / "x.png", folder / "x.tfci", folder / "back.png"
    photograph = _photograph(paths, megapixels)
    image_files.write_image(str(source), photograph)
    name = f"{megapixels:g} ({photograph.shape[1]}x{photograph.shape[0]})"
    del photograph
    for program, one, other in (("compress", source, small), ("decompress", small, back)):
      elapsed, processors, memory = _measured(program, model, one, other)
      cells = [name, program, f"{elapsed:.0f}", f"{processors:.0f}", f"{memory:.2f}"]
      yield [*cells, str(small.stat().st_size)]


def _print_comparison(model, image):
  """Prints the effect of tiles: on ŷ in the encoder, and on the pixels of one file."""
  codec = bmshj_minnen.load(model)
  codec.memory = int(_MEMORY.value * 2**30 / 2)
  data_, tiled = codec.compress_with_latents(image)
  x_tiled = codec.decompress(data_)
  codec.memory = _WHOLE
  received = codec.latents(data_)
  assert received.y_hat.tobytes() == tiled.y_hat.tobytes()
  assert received.z_hat.tobytes() == tiled.z_hat.tobytes()
  _, whole = codec.compress_with_latents(image)
  x_whole = codec.decompress(data_)
  y_hats, z_hats = (int(np.sum(a != b)) for a, b in zip(tiled, whole))
  print(f"ŷ that differ: {y_hats} of {tiled.y_hat.size}, ẑ: {z_hats} of {tiled.z_hat.size}")
  difference = np.abs(x_tiled.astype(np.int16) - x_whole)
  levels = f"at most {difference.max()} levels"
  print(f"x̂ of one file that differ: {np.sum(difference > 0)} of {x_tiled.size}, {levels}")


def main(argv):
  """Makes the photographs, measures, compares, and prints the table."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    paths = common.find_images(_IMAGES.value)
    model = _MODEL.value
    if _UNTRAINED.value:
      size, image = _UNTRAINED.value, _cell(paths[0])
      built = untrained.model(bmshj_minnen.ModelConfig("joint", size, size), image)
      model = str(folder / "model")
      model_directory.save(built, folder / "model", tf.constant(image[None]))
    head = ["megapixels", "", "seconds", "of processors", "peak memory, GiB", "bytes"]
    for line in markdown.lines(head, _rows(model, paths, folder), "rlrrrr"):
      print(line, flush=True)
    if _COMPARE.value:
      _print_comparison(model, _photograph(paths, _COMPARE.value))


if __name__ == "__main__":
  app.run(main)
