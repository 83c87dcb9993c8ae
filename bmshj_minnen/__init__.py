"""Joint autoregressive and hierarchical priors for learned image compression.

The paper's model (Minnen, Ballé, Toderici, NeurIPS 2018): trained models that ship, or a model that
`bmshj_minnen.train` trained:

    codec = bmshj_minnen.load("default")
    data = codec.compress(image)      # [H, W, 3] uint8 -> bytes
    image = codec.decompress(data)    # and back

`load_for(data)` returns the codec of the shipped model that wrote a file. Without TensorFlow, both
functions are taken from `bmshj_minnen.portable`.
"""

import importlib
import importlib.util

__version__ = "0.2.0"

# Imported at the first use, so that `command_line.startup` comes before TensorFlow and can silence
# it.
_MODULES = {
  "BitstreamError": "format.errors",
  "Codec": "coding.codec",
  "ImageError": "images.image_files",
  "Latents": "coding.codec",
  "Model": "model",
  "ModelConfig": "config",
  "TrainConfig": "training.train_config",
  "load": "model_files.model_directory",
  "load_for": "model_files.model_directory",
  "load_model": "model_files.model_directory",
  "read_image": "images.image_files",
  "write_image": "images.image_files",
}

# The modules to use instead if TensorFlow is not installed.
_PORTABLE = {"load": "portable.loading", "load_for": "portable.loading"}

_NEED_TENSORFLOW = ("Model", "load_model")

__all__ = sorted(_MODULES)


def __getattr__(name: str):
  if name not in _MODULES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module = _MODULES[name]
  if importlib.util.find_spec("tensorflow") is None:
    module = _PORTABLE.get(name, module)
    if name in _NEED_TENSORFLOW:
      raise ImportError(
        f"bmshj_minnen.{name} needs TensorFlow, which has packages for Python 3.9 to 3.11 on Linux"
        " with an x86-64 processor"
      )
  return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__():
  return sorted({*globals(), *__all__})
