"""Repeatable uniform noise: a function of a seed and of the place in the batch."""

import tensorflow as tf

__all__ = ["uniform"]


def uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Noise U(-½, ½), float32 of the given shape; a resumed run repeats it.

  Under a `tf.distribute` strategy every replica takes its part of the noise of the whole batch.

  The noise is made from integers and a seed that is not negative, so it is the same with and
  without XLA. TensorFlow's own uniform floats are not.

  Args:
    shape: [rank] int32, the shape [B, ...] of a replica's part of the batch.
    seed: [2] int32, not negative.
  """
  replica = tf.distribute.get_replica_context()
  replicas = replica.num_replicas_in_sync if replica else 1
  whole = tf.concat([replicas * shape[:1], shape[1:]], 0)
  bits = tf.random.stateless_uniform(whole, seed, None, None, tf.int32)
  if replicas > 1:
    first = replica.replica_id_in_sync_group * shape[0]
    bits = bits[first : first + shape[0]]
  # The middles of 2^24 steps: float32 has just enough digits for them.
  return (tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) + 0.5) * 2.0**-24
