"""Any bytes, without TensorFlow, are refused or decode to a picture of the declared size."""

import numpy as np
import pytest

from bmshj_minnen import portable
from experiments.reliability import hostile

pytest.importorskip("onnxruntime")

_FILES = 3  # Files per kind.


@pytest.fixture(scope="module")
def forge():
  rows, columns = np.mgrid[:200, :200]
  waves = [np.sin(rows / period) * np.cos(columns / period) for period in (5, 7, 9)]
  photograph = (128 + 100 * np.stack(waves, -1)).astype(np.uint8)
  return hostile.Forge(portable.load(max_pixels=2**16), photograph, has_metadata=True)


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_files_are_refused_or_give_a_picture_and_always_the_same(forge, kind):
  for seed in range(_FILES):
    case = forge.make(kind, np.random.default_rng(seed))
    outcome = hostile.decode(forge.codec, case)
    assert outcome.name != "other", outcome.detail
    if kind not in hostile.FORGED:
      assert outcome.name == "refused"
  assert hostile.decode(forge.codec, case) == outcome
