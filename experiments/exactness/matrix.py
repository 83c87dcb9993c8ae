"""{1, 2 threads} x {oneDNN on, off} x {all, AVX2, SSE4.1 instructions}, for all five priors.

`python -m experiments.exactness.matrix` makes six untrained models (training does not matter
here), lets each setting write files, lets each setting decode all of them, and compares ŷ. Further
settings let TensorFlow rewrite graphs or oneDNN lower precision.
"""

import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags

_CHANNELS = flags.DEFINE_integer("channels", 192, "N and M of the models.")
_SIDE = flags.DEFINE_integer("side", 320, "Sides of the square photograph, pixels.")
_REWRITERS_ALONE = flags.DEFINE_bool(
  "rewriters_alone", False, "Leave out all settings without a rewriter but the default."
)

THREADS = (1, 2)
ONEDNN = (1, 0)
ISA = ("", "AVX2", "SSE41")  # The default is all that the processor has.
# What an embedding program or its environment may turn on; the layout optimizer, the remapper and
# TF32 are on by default.
REWRITERS = (
  "auto_mixed_precision",
  "auto_mixed_precision_mkl",
  "auto_mixed_precision_onednn_bfloat16",
  "jit",
  "fpmath",
)


def make_models(folder: pathlib.Path, channels: int, side: int) -> None:
  """Writes models/NAME for all priors and for many rates, and image.png, into a folder."""
  import tensorflow as tf

  import bmshj_minnen
  from bmshj_minnen import config
  from bmshj_minnen.model_files import model_directory
  from bmshj_minnen.photographs import finding
  from experiments import untrained

  image = bmshj_minnen.read_image(finding.bundled_photographs()[0])[:side, :side]
  bmshj_minnen.write_image(str(folder / "image.png"), image)
  configs = {prior: {"prior": prior} for prior in config.PRIORS}
  configs["joint_rates"] = {"prior": "joint", "gain_lambdas": (0.002, 0.128)}
  for name, fields in configs.items():
    fields = {**fields, "num_filters": channels, "latent_channels": channels}
    model = untrained.model(bmshj_minnen.ModelConfig(**fields), image, untrained.LARGE_DEVIATION)
    model_directory.save(model, folder / "models" / name, tf.constant(image[None]))


def run_worker(
  folder: pathlib.Path, threads: int, onednn: int, isa: str, decode: bool, rewriter: str = ""
) -> bool:
  """Runs `worker.py` under one setting, of `THREADS`, `ONEDNN` and `ISA`.

  Args:
    folder: that `make_models` wrote to.
    threads, onednn, isa: the setting.
    decode: whether it decodes the files of all settings, or else writes its own.
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
  command += [f"--setting={setting}", f"--threads={threads}", f"--decode={decode}"]
  command += [f"--rewriter={rewriter}"]
  return subprocess.run(command, env=environment, check=False).returncode == 0


def main(argv):
  """Runs the whole matrix."""
  del argv
  default = (2, 1, "")
  plain = [default] if _REWRITERS_ALONE.value else itertools.product(THREADS, ONEDNN, ISA)
  settings = [(*setting, "") for setting in plain]
  settings += [(*default, rewriter) for rewriter in REWRITERS]
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    make_models(folder, _CHANNELS.value, _SIDE.value)
    good = [
      run_worker(folder, *setting, decode, rewriter)
      for decode in (False, True)
      for *setting, rewriter in settings
    ]
  print(f"{sum(good)} of {len(good)} runs without failure")
  return 0 if all(good) else 1


if __name__ == "__main__":
  app.run(main)
