"""Files that a release wrote decode to the same latents forever; see golden/README.md."""

import hashlib
import pathlib
import subprocess
import sys

import pytest

import bmshj_minnen

_FOLDER = pathlib.Path(__file__).parent / "golden"
_LATENTS = {
  "factorized": "215f79c3ca43e4f8d3edab773e365c92d3857857a8395a2f310d88ee44508973",
  "mean_scale_hyperprior": "f69ce73861be0f878ac5f96769167cbd118f624a82efbc0d383b53f15c8c4bdf",
  "joint": "f1b10559c2888386dbf671f7f2f68cc9bb086933a9bbf3fc754c79783a3c2648",
  "converted": "05a5af4377312077294299d6ef7b59142ac7d7c919bb65774b1d3708f16fd455",
}


@pytest.mark.parametrize("name", _LATENTS)
def test_golden_files_decode_to_their_latents(name):
  file = (_FOLDER / f"{name}.tfci").read_bytes()
  y_hat, z_hat = bmshj_minnen.load(_FOLDER / name).latents(file)
  assert hashlib.sha256(y_hat.tobytes() + z_hat.tobytes()).hexdigest() == _LATENTS[name]


_MIXED_PRECISION = """
import sys
from bmshj_minnen.command_line import startup
import tensorflow as tf
tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
import hashlib, pathlib, bmshj_minnen
latents = bmshj_minnen.load(sys.argv[1]).latents(pathlib.Path(sys.argv[2]).read_bytes())
print(hashlib.sha256(latents.y_hat.tobytes() + latents.z_hat.tobytes()).hexdigest())
"""


def test_mixed_precision_of_the_program_around_changes_nothing():
  """On processors without bfloat16 the option has no effect, and this repeats the test above."""
  files = [str(_FOLDER / "joint"), str(_FOLDER / "joint.tfci")]
  result = subprocess.run(
    [sys.executable, "-c", _MIXED_PRECISION, *files], check=True, capture_output=True, text=True
  )
  assert result.stdout.split() == [_LATENTS["joint"]]
