"""The parts that the speed study times are those of the codec."""

import numpy as np
import pytest

from bmshj_minnen.format.frozen_prior import FrozenPrior
from experiments.speed import coding
from tests import codecs


@pytest.mark.parametrize("prior", ["factorized", "joint"])
def test_the_timed_loop_finds_the_latents_of_the_file(prior, tmp_path):
  codec, _ = codecs.make_codec(prior, tmp_path)
  with np.load(tmp_path / prior / "coder.npz") as arrays:
    frozen = FrozenPrior.from_arrays(dict(arrays))
  image = codecs.photograph(70, 90)
  timed = coding.Coding(codec, frozen, image)
  y_hat = codec.latents(codec.compress(image)).y_hat
  _, found = timed._loop()
  np.testing.assert_array_equal(found * np.float32(frozen.y_step), y_hat.reshape(found.shape))
  for side, parts in coding.PARTS.items():
    assert set(getattr(timed, side)()) == set(parts)
