"""Exactness for {1, 2 threads} x {oneDNN on, off} x {all, AVX2, SSE4.1 instructions}, all priors.

`python -m experiments.exactness.matrix` makes six untrained models (training does not matter
here), lets each setting write files, lets each setting decode all of them, and compares ŷ. Further
settings let TensorFlow rewrite graphs or oneDNN lower precision; and with `--portable`, ONNX
Runtime and NumPy take part, under other Pythons.
"""

import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Optional

from absl import app, flags

from bmshj_minnen.command_line import usage
from experiments.exactness import runtimes

_CHANNELS = flags.DEFINE_integer("channels", 192, "N and M of the models.")
_SIDE = flags.DEFINE_integer("side", 320, "Sides of the square photograph, pixels.")
_REWRITERS_ALONE = flags.DEFINE_bool(
  "rewriters_alone", False, "Leave out all settings without a rewriter but the default."
)
_PORTABLE = flags.DEFINE_list("portable", [], "Pythons with ONNX Runtime; each has settings, too.")

_ROOT = pathlib.Path(__file__).parents[2]
THREADS = (1, 2)
ONEDNN = (1, 0)
ISA = ("", "AVX2", "SSE41")  # Empty: all instructions of the processor.
# OpenBLAS's kernels for those instructions; ONNX Runtime's cannot be chosen.
KERNELS = {"": "", "AVX2": "Haswell", "SSE41": "Nehalem"}
# Options that an embedding program or its environment may turn on; the layout optimizer, the
# remapper and TF32 are on by default.
REWRITERS = (
  "auto_mixed_precision",
  "auto_mixed_precision_mkl",
  "auto_mixed_precision_onednn_bfloat16",
  "jit",
  "fpmath",
)


def make_models(
  folder: pathlib.Path,
  channels: int,
  side: int,
  has_graphs: bool = False,
  names: Optional[Sequence[str]] = None,
) -> None:
  """Writes models/NAME for all priors and for many rates, and image.png, into a folder.

  Args:
    folder: an existing folder.
    channels: N and M.
    side: side of the image, pixels.
    has_graphs: whether to write graphs for ONNX Runtime, too.
    names: the models to make, priors or "joint_rates"; None: all.
  """
  import tensorflow as tf

  import bmshj_minnen
  from bmshj_minnen import config
  from bmshj_minnen.data import finding
  from bmshj_minnen.model_files import model_directory
  from experiments import untrained

  image = bmshj_minnen.read_image(finding.bundled_photographs()[0])[:side, :side]
  bmshj_minnen.write_image(str(folder / "image.png"), image)
  configs = {prior: {"prior": prior} for prior in config.PRIORS}
  configs["joint_rates"] = {"prior": "joint", "gain_lambdas": (0.002, 0.128)}
  for name in configs if names is None else names:
    fields = {**configs[name], "num_filters": channels, "latent_channels": channels}
    model = untrained.model(bmshj_minnen.ModelConfig(**fields), image, untrained.LARGE_DEVIATION)
    directory = folder / "models" / name
    model_directory.save(model, directory, tf.constant(image[None]))
    if has_graphs:
      from bmshj_minnen.serving import onnx_export

      (directory / "onnx").mkdir()
      onnx_export.write_graphs(str(directory), directory / "onnx", inside=False)


def run_worker(
  folder: pathlib.Path,
  threads: int,
  onednn: int,
  isa: str,
  encode: bool,
  decode: bool,
  rewriter: str = "",
) -> bool:
  """Runs `worker.py` under one setting.

  Args:
    folder: the folder that `make_models` wrote to.
    threads, onednn, isa: the setting, from `THREADS`, `ONEDNN` and `ISA`.
    encode: whether to write the setting's files.
    decode: whether to decode the files of all settings, after writing.
    rewriter: one of `REWRITERS`, or none.

  Returns:
    Whether it succeeded.
  """
  environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": str(onednn), "TF_CPP_MIN_LOG_LEVEL": "3"}
  environment.pop("ONEDNN_MAX_CPU_ISA", None)
  if isa:
    environment["ONEDNN_MAX_CPU_ISA"] = isa
  environment.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)
  if rewriter == "fpmath":
    environment["ONEDNN_DEFAULT_FPMATH_MODE"] = "BF16"
  setting = f"{threads}-threads_onednn-{onednn}_{isa or 'default'}_{rewriter or 'plain'}"
  command = [sys.executable, "-m", "experiments.exactness.worker", f"--folder={folder}"]
  command += [f"--setting={setting}", f"--threads={threads}"]
  command += [f"--encode={encode}", f"--decode={decode}", f"--rewriter={rewriter}"]
  return subprocess.run(command, env=environment, check=False).returncode == 0


def run_portable(folder: pathlib.Path, python: str, threads: int, isa: str, decode: bool) -> bool:
  """Runs `portable_worker.py` under a Python and one setting.

  Args:
    folder: the folder that `make_models` wrote to, with graphs.
    python: an interpreter with ONNX Runtime.
    threads, isa: the setting, from `THREADS` and `ISA`.
    decode: whether to decode the files of all settings instead of writing files.

  Returns:
    Whether it succeeded.
  """
  environment = runtimes.environment(threads)
  environment.pop("OPENBLAS_CORETYPE", None)
  if isa:
    environment["OPENBLAS_CORETYPE"] = KERNELS[isa]
  setting = f"{threads}-threads_{isa or 'default'}_portable-{runtimes.version(python)}"
  command = [os.path.abspath(python), "-m", "experiments.exactness.portable_worker"]
  command += [f"--folder={folder}", f"--setting={setting}", f"--threads={threads}"]
  command += [f"--decode={decode}"]
  return subprocess.run(command, cwd=_ROOT, env=environment, check=False).returncode == 0


def main(argv):
  """Runs the whole matrix."""
  usage.refuse_arguments(argv)
  default = (2, 1, "")
  plain = [default] if _REWRITERS_ALONE.value else itertools.product(THREADS, ONEDNN, ISA)
  settings = [(*setting, "") for setting in plain]
  settings += [(*default, rewriter) for rewriter in REWRITERS]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    make_models(folder, _CHANNELS.value, _SIDE.value, bool(_PORTABLE.value))
    good = []
    for decode in (False, True):
      good += [
        run_worker(folder, *setting, not decode, decode, name) for *setting, name in settings
      ]
      portable = itertools.product(_PORTABLE.value, THREADS, ISA)
      good += [run_portable(folder, *setting, decode) for setting in portable]
  print(f"{sum(good)} of {len(good)} runs without failure")
  return 0 if all(good) else 1


if __name__ == "__main__":
  app.run(main)
