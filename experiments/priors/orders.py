"""Trains orders and densities alike on equal latents, and compares their files and times.

`python -m experiments.priors.orders --train_glob='photos/*.png' --images='kodak/*.png'` trains the
missing models, and prints a table.
"""

import dataclasses
import pathlib
import statistics
import time

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.training import loop

# Label -> fields of the config that differ from those of the model whose latents are taken.
VARIANTS = {
  "causal": {},
  "checkerboard": {"order": "checkerboard"},
  "channel_slices": {"order": "channel_slices"},
  "laplace": {"density": "laplace"},
  "logistic": {"density": "logistic"},
}

_LATENTS_OF = flags.DEFINE_string("latents_of", "joint-mse", "The model whose latents are taken.")
_TRAIN = flags.DEFINE_string("train_glob", "", "Photographs to train on.")
_VALIDATION = flags.DEFINE_string("validation_glob", "", "Photographs to validate on.")
_IMAGES = flags.DEFINE_string("images", "", "Photographs to measure on.")
_VARIANTS = flags.DEFINE_list("variants", [*VARIANTS], "Labels to train and to compare.")
_MODELS = flags.DEFINE_string("models", "models/orders", "Folder of the trained models.")
_STEPS = flags.DEFINE_integer("steps", 400, "Steps of training.")
_BATCH = flags.DEFINE_integer("batch", 8, "Crops in a step.")
_CROPS = flags.DEFINE_integer("stored_crops", 512, "Crops whose latents are stored.")
_QUALITY = flags.DEFINE_float("quality", 50, "Quality of the files.")
_RUNS = flags.DEFINE_integer("runs", 5, "Runs for each median time, taking turns.")


def _train(label):
  folder = pathlib.Path(_MODELS.value) / label
  source = model_directory.load_config(_LATENTS_OF.value)
  loop.train(
    dataclasses.replace(source, **VARIANTS[label]),
    bmshj_minnen.TrainConfig(
      str(folder),
      latents_of=_LATENTS_OF.value,
      latents_dir=str(folder.parent / "latents"),
      train_glob=_TRAIN.value,
      validation_glob=_VALIDATION.value,
      steps=_STEPS.value,
      batch=_BATCH.value,
      stored_crops=_CROPS.value,
      save_every=_STEPS.value,
      learning_rate=1e-3,
      schedule="cosine",
    ),
  )
  return folder


def _measured(codecs, photographs):
  """Label -> bits per pixel, and the medians of the seconds of entropy encoding and decoding."""
  bits, pixels, seconds = dict.fromkeys(codecs, 0), 0, {label: ([], []) for label in codecs}
  for path in photographs:
    image = bmshj_minnen.read_image(path)
    pixels += image.shape[0] * image.shape[1]
    for run in range(_RUNS.value + 1):  # The first one traces.
      for label, codec in codecs.items():
        parts: dict[str, float] = {}
        data = codec.compress(image, parts)
        codec.decompress(data, parts)
        if run:
          for times, part in zip(seconds[label], ("entropy coding", "entropy decoding")):
            times.append(parts[part])
    for label, codec in codecs.items():
      bits[label] += 8 * len(codec.compress(image))
  return {
    label: (bits[label] / pixels, *map(statistics.median, seconds[label])) for label in codecs
  }


def main(argv):
  """Trains, measures, prints a table."""
  usage.refuse_arguments(argv, has_patterns=True)
  logging.set_verbosity(logging.INFO)
  with startup.one_line_errors():
    start = time.perf_counter()
    folders = {label: _train(label) for label in _VARIANTS.value}
    logging.info("Trained in %.0f s.", time.perf_counter() - start)
    if not _IMAGES.value:
      return
    codecs = {k: bmshj_minnen.load(str(v), quality=_QUALITY.value) for k, v in folders.items()}
    rows = _measured(codecs, finding.find_photographs([_IMAGES.value], 1).paths)
    first = next(iter(rows.values()))
    lines = []
    for label, row in rows.items():
      change, *ratios = (value / reference for value, reference in zip(row, first))
      times = (f"{1000 * s:.0f} ms, {r:.2f}" for s, r in zip(row[1:], ratios))
      lines.append([label, f"{row[0]:.4f}", f"{100 * (change - 1):+.1f} %", *times])
    head = ["", "bits per pixel", "bits", "encoding", "decoding"]
    print(markdown.table(head, lines))


if __name__ == "__main__":
  app.run(main)
