"""Files that a release wrote decode to the same latents for ever; see golden/README.md."""

import hashlib
import pathlib

import bmshj_minnen

_FOLDER = pathlib.Path(__file__).parent / "golden"
_LATENTS = "f1b10559c2888386dbf671f7f2f68cc9bb086933a9bbf3fc754c79783a3c2648"


def test_the_golden_file_decodes_to_its_latents():
  file = (_FOLDER / "joint.tfci").read_bytes()
  y_hat, z_hat = bmshj_minnen.load(_FOLDER / "joint").latents(file)
  assert hashlib.sha256(y_hat.tobytes() + z_hat.tobytes()).hexdigest() == _LATENTS
