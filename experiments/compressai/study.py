"""Compares converted models with CompressAI, layer by layer, bit by bit and file by file.

python -m experiments.compressai.study --compressai_python=PYTHON
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf
from absl import app, flags

import bmshj_minnen
from bmshj_minnen.command_line import verbose
from bmshj_minnen.data import finding
from experiments.compressai import comparison, tables

_PYTHON = flags.DEFINE_string("compressai_python", None, "A Python with CompressAI.")
_N = flags.DEFINE_integer("num_filters", 128, "N.")
_M = flags.DEFINE_integer("latent_channels", 192, "M.")
_FOLDER = flags.DEFINE_string("folder", "", "Folder for checkpoints and results; kept if given.")
_SUFFIX = flags.DEFINE_enum("format", "pth.tar", ["pth.tar", "npz"], "npz needs no PyTorch here.")

_MODELS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018")
_ROOT = pathlib.Path(__file__).parent.parent.parent


def photographs() -> dict[str, np.ndarray]:
  """Parts [H, W, 3] uint8, of odd sizes, of three photographs in scikit-image and scikit-learn."""
  chelsea, coffee = finding.held_out_photographs()[0], finding.bundled_photographs()[1]
  china = finding.bundled_photographs()[4]
  sizes = {"chelsea": (chelsea, 141, 203), "coffee": (coffee, 187, 125), "china": (china, 97, 261)}
  return {k: bmshj_minnen.read_image(p)[:h, :w] for k, (p, h, w) in sizes.items()}


def _run(*command):
  subprocess.run(command, check=True, cwd=_ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _study(folder):
  folder.mkdir(parents=True, exist_ok=True)
  if not (folder / "photographs.npz").exists():
    np.savez(folder / "photographs.npz", **photographs())
    oracle = "experiments.compressai.oracle"
    sizes = (str(_N.value), str(_M.value))
    _run(_PYTHON.value, "-W", "ignore", "-m", oracle, str(folder), *sizes)
  with np.load(folder / "photographs.npz") as arrays:
    images = dict(arrays)
  for name in _MODELS:
    directory = folder / name
    if not directory.exists():
      source = f"--from_compressai={folder / name}.{_SUFFIX.value}"
      _run(sys.executable, "-m", "bmshj_minnen.convert", source, f"--output={directory}")
    model, codec = bmshj_minnen.load_model(directory), bmshj_minnen.load(directory)
    with np.load(folder / f"{name}.npz") as arrays:
      if "gaussian_conditional._quantized_cdf" in arrays:
        print(f"\n{name}")
        _print(tables.costs(arrays))
    for title, image in images.items():
      with np.load(folder / f"{name}-{title}.npz") as arrays:
        oracle = dict(arrays)
      print(f"\n{name}, {title}, {image.shape[1]}x{image.shape[0]}")
      differences = comparison.differences(model, oracle)
      _print({key: f"{value:.1e}" for key, value in differences.items()})
      _print(_files(model, codec, oracle, image))


def _print(lines):
  for key, value in lines.items():
    print(f"  {key:<39} {value}")


def _files(model, codec, oracle, image):
  """Sizes of files and their decoded pixels, compared with CompressAI's."""
  theirs = int(oracle["bytes"])
  file, latents = codec.compress_with_latents(oracle["image"])
  margin = 100 * (len(file) / theirs - 1)
  y_hat = comparison.from_medians(model, latents.y_hat, "y_density")
  decoded = codec.decompress(file).astype(np.float64)
  expected = np.round(255 * oracle["decoded"])
  return {
    "bytes: CompressAI": theirs,
    "bytes: ours, same pixels": f"{len(file)} ({margin:+.2f} %)",
    "within 1 % + 32 bytes": abs(len(file) - theirs) <= 0.01 * theirs + 32,
    "bytes: ours, own padding": len(codec.compress(image)),
    "bits estimated by the float model": f"{verbose.estimated_bits(model, latents):.0f}",
    "bits of the file": 8 * len(file),
    "symbols of y that differ": f"{np.mean(np.abs(y_hat - oracle['coded_y_hat']) > 0.5):.1e}",
    "levels of decoded pixels, mean": f"{np.abs(decoded - expected).mean():.4f}",
  }


def main(argv):
  """Flags -> the study."""
  if len(argv) > 1 or not (_PYTHON.value or _FOLDER.value):
    raise app.UsageError("give --compressai_python=PYTHON")
  tf.get_logger().setLevel("ERROR")
  if _FOLDER.value:
    _study(pathlib.Path(_FOLDER.value))
  else:
    with tempfile.TemporaryDirectory() as folder:
      _study(pathlib.Path(folder))


if __name__ == "__main__":
  app.run(main)
