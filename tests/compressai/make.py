"""Writes the files that `tests.test_convert` reads: `python -m tests.compressai.make`.

Needs a Python with CompressAI (1.2.8 wrote the stored files), without TensorFlow.
"""

import pathlib

import numpy as np

from experiments.compressai import oracle

_N, _M = 3, 6
_FOLDER = pathlib.Path(__file__).parent
# Long arrays, which follow from the rest.
_LEFT_OUT = ("_quantized_cdf", "_offset", "_cdf_length", "decoded")


def _image():
  """An image [49, 101, 3] uint8 with waves and an edge."""
  y, x, channel = np.ogrid[:49, :101, :3]
  waves = np.sin(x / (5 + channel) + y**2 / 300) + np.cos(y / 7 - x * channel / 40)
  return np.uint8(np.clip(127 + 50 * waves + 40 * (x > 60), 0, 255))


def main() -> None:
  """Writes MODEL.npz for each model: `state/NAME` and the arrays of `measure`."""
  for name in oracle.MODELS:
    model = oracle.random_model(name, _N, _M, [_image()])
    state = {f"state/{key}": value.numpy() for key, value in model.state_dict().items()}
    arrays = {**state, **oracle.measure(model, _image())}
    kept = {key: value for key, value in arrays.items() if not key.endswith(_LEFT_OUT)}
    np.savez_compressed(_FOLDER / f"{name}.npz", **kept)


if __name__ == "__main__":
  main()
