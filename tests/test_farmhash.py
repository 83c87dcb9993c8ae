"""The checksum without TensorFlow, against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.format import farmhash


def test_it_is_tensorflows_fingerprint():
  generator = np.random.default_rng(0)
  # All remainders of blocks, several counts of blocks, and the size of a photograph's file.
  for size in [*range(farmhash.MIN_SIZE, 400), 40_001]:
    data = generator.bytes(size)
    assert farmhash.fingerprint(data) == tf.fingerprint([data]).numpy().tobytes(), size


@pytest.mark.parametrize("byte", [b"\0", b"\xff"])
def test_sums_that_carry_over_do_as_well(byte):
  for size in (16, 17, 32, 33, 64, 65, 128, 129, 1000):
    data = byte * size
    assert farmhash.fingerprint(data) == tf.fingerprint([data]).numpy().tobytes(), size


def test_shorter_data_are_refused():
  with pytest.raises(ValueError, match="at least 16 bytes, not 15"):
    farmhash.fingerprint(bytes(15))
