"""Files that a release wrote decode to the same latents for ever; see golden/README.md."""

import hashlib
import pathlib

import pytest

import bmshj_minnen

_FOLDER = pathlib.Path(__file__).parent / "golden"
_LATENTS = {
  "joint": "f1b10559c2888386dbf671f7f2f68cc9bb086933a9bbf3fc754c79783a3c2648",
  "converted": "05a5af4377312077294299d6ef7b59142ac7d7c919bb65774b1d3708f16fd455",
}


@pytest.mark.parametrize("name", _LATENTS)
def test_golden_files_decode_to_their_latents(name):
  file = (_FOLDER / f"{name}.tfci").read_bytes()
  y_hat, z_hat = bmshj_minnen.load(_FOLDER / name).latents(file)
  assert hashlib.sha256(y_hat.tobytes() + z_hat.tobytes()).hexdigest() == _LATENTS[name]
