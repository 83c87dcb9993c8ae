"""Files that a release wrote decode to the same latents for ever; see golden/README.md."""

import hashlib
import pathlib

import numpy as np

import bmshj_minnen
from bmshj_minnen import data, metrics, report

_NAME = "joint-mse-0.01-n96"
_ROOT = pathlib.Path(__file__).parent.parent
_LATENTS = "ae1ed3becf10eabee677a827171aa396519e05d3899e8beffc54fe07126e4118"


def test_the_golden_file_decodes_to_its_latents():
  codec = bmshj_minnen.load(_ROOT / "bmshj_minnen" / "pretrained" / _NAME)
  file = (_ROOT / "tests" / "golden" / f"{_NAME}.tfci").read_bytes()
  y_hat, z_hat = codec.latents(file)
  assert hashlib.sha256(y_hat.tobytes() + z_hat.tobytes()).hexdigest() == _LATENTS
  image = bmshj_minnen.read_image(data.held_out_photographs()[0])[90:187, 120:251]
  assert metrics.psnr(image, codec.decompress(file)) > 27


def test_the_shipped_model_compresses_a_photograph_it_has_not_seen():
  codec = bmshj_minnen.load(_ROOT / "bmshj_minnen" / "pretrained" / _NAME)
  model = bmshj_minnen.load_model(_ROOT / "bmshj_minnen" / "pretrained" / _NAME)
  image = bmshj_minnen.read_image(data.held_out_photographs()[0])
  file, latents = codec.compress_with_latents(image)
  # Files are as large as the float model says, within 1 % and 32 bytes.
  estimate = report.estimated_bits(model, latents) / 8
  assert np.abs(len(file) - estimate) < 0.01 * estimate + 32
  assert 8 * len(file) / image[..., 0].size < 0.5
  assert metrics.psnr(image, codec.decompress(file)) > 29
