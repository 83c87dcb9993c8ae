"""Times the codec's SavedModel and the Python codec: `python -m experiments.serving.latency`."""

import functools
import pathlib
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np
import tensorflow as tf

from bmshj_minnen import config
from bmshj_minnen.command_line import usage
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.serving import saved_models
from experiments import untrained
from experiments.serving import comparisons
from experiments.speed import timing
from experiments.speed.photographs import photograph

_MODEL = flags.DEFINE_string(
  "model", "", "A model directory, or the name of one that ships; empty: N = M = 192, untrained."
)
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 15, "Runs for each median.", lower_bound=1)
_CLIENT = flags.DEFINE_bool("client", False, "Build the C++ client, and time it afterwards.")


def _untrained(folder):
  image = photograph("", 256, 256)
  model = untrained.model(config.ModelConfig(), image)
  model_directory.save(model, folder, tf.constant(image[None]))
  return str(folder)


def _timed(task):
  """Measures a task; the result is its processor seconds."""

  def run():
    start = time.process_time()
    task()
    return time.process_time() - start

  return functools.partial(timing.measure, run)


def _tasks(codec, signatures, image):
  """Name -> task to time; both sides of a pair return the same."""
  data = codec.compress(image)
  pixels, files = tf.constant(image[None]), tf.constant([data])
  tasks = {
    "compress, Python": lambda: codec.compress(image),
    "compress_pixels, SavedModel": lambda: signatures["compress_pixels"](pixels=pixels),
    "decompress, Python": lambda: codec.decompress(data),
    "decompress, SavedModel": lambda: signatures["decompress"](file_bytes=files),
  }
  assert tasks["compress_pixels, SavedModel"]()["file_bytes"].numpy()[0] == data
  back = tasks["decompress, SavedModel"]()["pixels"].numpy()[0]
  assert np.array_equal(back, codec.decompress(data))
  return {name: _timed(task) for name, task in tasks.items()}


def _time_files(codec, signatures, folder, image):
  """Times both from PNG to file and back, beside the C++ client."""
  png, file = folder / "in.png", folder / "in.tfci"
  image_files.write_image(str(png), image)
  file.write_bytes(codec.compress(image))
  compress, decompress = signatures["compress"], signatures["decompress_png"]
  tasks = {
    "PNG to file, Python": lambda: codec.compress(image_files.read_image(str(png))),
    "compress, SavedModel": lambda: compress(image_bytes=tf.constant([png.read_bytes()])),
    "file to PNG, Python": lambda: image_files.write_image(
      str(folder / "back.png"), codec.decompress(file.read_bytes())
    ),
    "decompress_png, SavedModel": lambda: decompress(file_bytes=tf.constant([file.read_bytes()])),
  }
  return {name: _timed(task) for name, task in tasks.items()}


def _time_client(saved_model, folder):
  client = comparisons.build_client(folder)
  files = [folder / name for name in ("in.png", "client.tfci", "client.png")]
  text = comparisons.run(client, comparisons.op_library(), saved_model, _RUNS.value, *files)
  print(f"\nC++ client, median seconds:\n{text}", end="")


def main(argv):
  """Prints a table."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    model = _MODEL.value or _untrained(folder / "model")
    image = photograph(_IMAGE.value)
    codec = model_directory.load(model)
    served = folder / "served" / "1"
    saved_model, _ = saved_models.export(model, served, DEFAULT_MAX_PIXELS, False)
    # Keep the model: its signatures refer to its variables.
    loaded = tf.saved_model.load(str(saved_model))
    tasks = _tasks(codec, loaded.signatures, image)
    pairs = [list(tasks)[i : i + 2][::-1] for i in (0, 2)]
    tasks |= _time_files(codec, loaded.signatures, folder, image)
    timing.interleave(tasks, 2)  # Warm up.
    samples = timing.interleave(tasks, _RUNS.value)
    print(f"{image.shape[1]}x{image.shape[0]}, {codec.config}")
    timing.print_table({task: [s.seconds for s in runs] for task, runs in samples.items()})
    timing.print_ratios(samples, pairs)
    print("\nProcessor time, which other programs disturb less:")
    timing.print_table({task: [s.result for s in runs] for task, runs in samples.items()})
    if _CLIENT.value:
      _time_client(saved_model, folder)


if __name__ == "__main__":
  app.run(main)
