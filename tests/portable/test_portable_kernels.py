"""The codec under other kernels and thread counts of NumPy's OpenBLAS than its own choice."""

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from bmshj_minnen import portable

pytest.importorskip("onnxruntime")

_ROOT = pathlib.Path(__file__).parents[2]
_CODE = """
import hashlib, sys
from bmshj_minnen import portable
latents = portable.load().latents(open(sys.argv[1], "rb").read())
print(hashlib.sha256(latents.y_hat.tobytes() + latents.z_hat.tobytes()).hexdigest())
"""


def test_a_file_has_the_same_latents_and_no_kernel_ends_the_process(tmp_path):
  """OpenBLAS 0.3.34 ends the process in float64 products on one thread with AVX2 kernels."""
  path = tmp_path / "x.tfci"
  noise = np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)
  data, sent = portable.load().compress_with_latents(noise)
  path.write_bytes(data)
  expected = hashlib.sha256(sent.y_hat.tobytes() + sent.z_hat.tobytes()).hexdigest()
  for threads, kernels in (("1", "Haswell"), ("2", "Nehalem")):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OPENBLAS_CORETYPE": kernels}
    command = [sys.executable, "-c", _CODE, str(path)]
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected
