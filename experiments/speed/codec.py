"""Times compressing and decompressing an image: `python -m experiments.speed.codec`."""

import contextlib
import functools
import itertools
import json
import os
import pathlib
import statistics
import tempfile
from typing import NamedTuple

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np
import tensorflow as tf

from bmshj_minnen import config
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.graph_codec import tensorflow_codec
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model_files import catalogue, model_directory, weights
from experiments import common, untrained
from experiments.speed import plots, timing, work
from experiments.speed.bmshj2018 import HyperpriorCodec
from experiments.speed.coding import PARTS, Coding
from experiments.speed.photographs import photograph

_PRECISIONS = flags.DEFINE_list(
  "precisions", ["float32"], "Precisions of the codecs; bfloat16 is for AVX512-BF16 and AMX."
)
_SIZES = flags.DEFINE_list("sizes", ["192x192", "192x320"], "N x M of the untrained models.")
_PRIORS = flags.DEFINE_list("priors", list(config.PRIORS), "Priors of the untrained models.")
_MODELS = flags.DEFINE_list("models", [catalogue.DEFAULT], "Trained models to time, too.")
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 7, "Runs for each median.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "A folder for results.json and codec.png.")
_COMPRESSAI = flags.DEFINE_string(
  "compressai_python", "", "A Python with CompressAI; its untrained mbt2018 is timed, too."
)

_TFC, _TFC_FILTERS = "tfc bmshj2018 192x192", 192


class _Subject(NamedTuple):
  coding: Coding
  operations: dict[str, work.Operations]
  precision: str


def _trained(directory, image):
  with np.load(directory / "coder.npz") as arrays:
    frozen = FrozenPrior.from_arrays(dict(arrays))
  with np.load(directory / "weights.npz") as arrays:
    return _subjects(directory.name, frozen, dict(arrays), image)


def _untrained(prior, size, image):
  model = untrained.model(config.ModelConfig(prior, *map(int, size.split("x"))), image)
  frozen, arrays = freeze(model, tf.constant(image[None])), weights.to_arrays(model)
  return _subjects(f"{prior} {size}", frozen, arrays, image)


def _subjects(name, frozen, arrays, image):
  """A subject for each precision, named with it unless it is the default."""
  operations = work.operations(frozen.config, arrays, *image.shape[:2])
  subjects = {}
  for precision in _PRECISIONS.value:
    model = model_directory.model_for_coding(frozen.config, arrays, precision)
    codec = tensorflow_codec(frozen, model)
    subject = _Subject(Coding(codec, frozen, image), operations, precision)
    subjects[name if precision == "float32" else f"{name} {precision}"] = subject
  return subjects


@contextlib.contextmanager
def _compressai(image, size):
  with tempfile.NamedTemporaryFile(suffix=".npy") as file:
    np.save(file.name, image)
    arguments = ("codec", file.name, str(untrained.DEVIATION), *size.split("x"))
    with timing.Peer(_COMPRESSAI.value, *arguments) as peer:
      yield peer


def _rates():
  return {p: work.product_rate(p) for p in dict.fromkeys(["float32", *_PRECISIONS.value])}


def _tasks(subjects, peers):
  """(model, task) -> a call that measures the task once."""
  tasks = {}
  for name, subject in subjects.items():
    tasks |= {
      (name, what): functools.partial(timing.measure, getattr(subject.coding, what))
      for what in ("encode", "decode", "h_s", "loop")
    }
  for name, peer in peers.items():
    tasks |= {(name, what): functools.partial(peer, what) for what in PARTS}
  return tasks


def _results(samples, subjects, rates):
  """One entry for each model and side, medians in seconds."""
  results = []
  for (name, side), runs in samples.items():
    if side not in PARTS:
      continue
    entry = {"model": name, "side": side, "seconds": statistics.median(s.seconds for s in runs)}
    entry["min"], entry["max"] = (f(s.seconds for s in runs) for f in (min, max))
    if name in subjects:
      parts = {p: statistics.median(s.result[p] for s in runs) for p in PARTS[side]}
      exact = {w: statistics.median(s.seconds for s in samples[name, w]) for w in ("h_s", "loop")}
      operations = subjects[name].operations[side]
      arithmetic = operations.exact / rates["float32"]
      arithmetic += operations.float / rates[subjects[name].precision]
      share = arithmetic / entry["seconds"]
      bpp = subjects[name].coding.bpp
      entry |= {"bpp": bpp, "parts": parts, **exact, "share_of_products": share}
    results.append(entry)
  return results


def _print(results):
  seconds = {(entry["model"], entry["side"]): entry["seconds"] for entry in results}
  for side, names in PARTS.items():
    head = [f"{side}, ms", "bpp", "median", "min", "max", *names, "h_s", "loop", "products"]
    rows = []
    for entry in results:
      if entry["side"] == side:
        figures = [1000 * entry[key] for key in ("seconds", "min", "max")]
        cells = [f"{entry['bpp']:.2f}" if "bpp" in entry else "", *(f"{f:.0f}" for f in figures)]
        if "parts" in entry:
          parts = [*(entry["parts"][name] for name in names), entry["h_s"], entry["loop"]]
          cells += [f"{1000 * part:.0f}" for part in parts]
          cells += [f"{100 * entry['share_of_products']:.0f} %"]
        rows.append([entry["model"], *cells, *[""] * (len(head) - 1 - len(cells))])
    print("", *markdown.lines(head, rows), sep="\n")
  for entry in results:
    ours, side = entry["model"], entry["side"]
    peers = [f"CompressAI {size}" for size in _SIZES.value if ours.startswith(f"joint {size}")]
    peers += [_TFC] if ours.startswith("joint 192x192") else []
    for theirs in peers:
      if (theirs, side) in seconds:
        print(f"{theirs} / {ours}, {side}: {seconds[theirs, side] / entry['seconds']:.2f}")


def main(argv):
  """Measures and prints, and writes the files of `--output`."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), contextlib.ExitStack() as stack:
    image = photograph(_IMAGE.value)
    subjects = {}
    for directory in map(catalogue.find, _MODELS.value):
      subjects |= _trained(directory, image)
    for size, prior in itertools.product(_SIZES.value, _PRIORS.value):
      subjects |= _untrained(prior, size, image)
    peers = {
      f"CompressAI {size}": stack.enter_context(_compressai(image, size))
      for size in _SIZES.value
      if _COMPRESSAI.value
    }
    tasks = _tasks(subjects, peers)
    hyperprior = HyperpriorCodec(image, _TFC_FILTERS, untrained.DEVIATION)
    tasks |= {
      (_TFC, what): functools.partial(timing.measure, getattr(hyperprior, what)) for what in PARTS
    }
    timing.interleave(tasks, 1)  # Warm up.
    before = _rates()
    samples = timing.interleave(tasks, _RUNS.value)
    rates = {precision: max(before[precision], rate) for precision, rate in _rates().items()}
    results = _results(samples, subjects, rates)
    print(f"{image.shape[1]}x{image.shape[0]}, {os.cpu_count()} processors")
    for precision, rate in rates.items():
      print(f"a {precision} matrix product: {rate / 1e9:.0f} GFLOP/s")
    for name, peer in peers.items():
      print(f"{name}: {peer.note}")
    print(f"{_TFC}: {hyperprior.bpp:.2f} bpp")
    _print(results)
    timing.print_quiet(samples)
    if _OUTPUT.value:
      folder = pathlib.Path(_OUTPUT.value)
      folder.mkdir(parents=True, exist_ok=True)
      record = {"processors": os.cpu_count(), "products_per_second": rates}
      record |= {"size": image.shape[:2], "runs": _RUNS.value, "results": results}
      common.write_text(folder / "results.json", json.dumps(record, indent=1) + "\n")
      plots.bars(results, folder / "codec.png")


if __name__ == "__main__":
  app.run(main)
