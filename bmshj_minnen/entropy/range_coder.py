"""Integers <-> bytes, in bounded time for any bytes.

Symbols are coded with tables of positive precision. tensorflow-compression's own overflow code,
which negative precisions select, can read zeros past the end of a string for ever; here the last
symbol of a table is an escape, and the value behind it has a fixed width of two bytes.
"""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.format.tables import (
  BYTE_TABLE,
  ESCAPE_OFFSET,
  PRECISION,
  TAIL_MASS,
  Tables,
  concatenate,
)

__all__ = ["RangeCoder", "build_tables"]


def build_tables(prior: tfc.UniformNoiseAdapter, in_graph: bool = False) -> Tables:
  """Builds one table per density of a batch; they are sampled at the integers.

  Tables are built once, when a model is frozen, and stored: another machine might compute others.

  Args:
    prior: the densities, such as `NoisyNormal` or `NoisyDeepFactorized`.
    in_graph: whether to build them in a graph. A graph takes longer, but tensorflow-compression
      finds the tails of densities that do not know their quantiles ten times faster in one.
  """
  build = functools.partial(_build, prior)
  if in_graph:
    build = tf.function(build, autograph=False)
  return _tables(*(array.numpy() for array in build()))


def _build(prior):
  entropy_model = tfc.ContinuousBatchedEntropyModel(
    prior,
    coding_rank=prior.batch_shape.rank,
    compression=True,
    stateless=True,
    offset_heuristic=False,
    tail_mass=TAIL_MASS,
    range_coder_precision=PRECISION,
    bottleneck_dtype=tf.float32,
  )
  return entropy_model.cdf, entropy_model.cdf_offset


def _tables(cdf, offset):
  # A negative precision is tfc's mark of tables that end in its unbounded overflow code.
  cdf = np.abs(cdf)
  # A cumulative distribution increases, so it holds its last value once.
  ends = np.flatnonzero(cdf == 2**PRECISION)
  lengths = np.diff(ends, prepend=-1)
  return Tables(cdf, offset, (lengths - 3).astype(np.int32))


class RangeCoder:
  """Codes integers with given tables; `push` on one side and `pop` on the other mirror each other.

  The handle is the state of the coder; every call takes one and returns the next.
  """

  def __init__(self, tables: Tables):
    self._byte = len(tables.offset)
    both = concatenate([tables, BYTE_TABLE])
    self._cdf = tf.constant(both.cdf, tf.int32)
    self._offset = tf.constant(both.offset, tf.int32)
    self._escape = tf.constant(both.escape, tf.int32)

  def start_encoder(self) -> tf.Tensor:
    """A handle to which symbols are pushed, a scalar variant."""
    return tfc.create_range_encoder([], self._cdf)

  def start_decoder(self, data: tf.Tensor) -> tf.Tensor:
    """A handle from which symbols are popped; `data` is a scalar string."""
    return tfc.create_range_decoder(data, self._cdf)

  def push(self, handle: tf.Tensor, table_index: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Appends values, then repeats the values outside their tables in two bytes each.

    Args:
      handle: the handle of an encoder.
      table_index: [n] int32.
      value: [n] int32 in -MAX_VALUE..MAX_VALUE.
    """
    symbol = value - tf.gather(self._offset, table_index)
    escape = tf.gather(self._escape, table_index)
    outlier = tf.logical_or(symbol < 0, symbol >= escape)
    handle = tfc.entropy_encode_index(handle, table_index, tf.where(outlier, escape, symbol))
    wide = tf.boolean_mask(value, outlier) + ESCAPE_OFFSET
    wide = tf.reshape(tf.stack([wide // 256, wide % 256], -1), [-1])
    return tfc.entropy_encode_index(handle, tf.fill(tf.shape(wide), self._byte), wide)

  def pop(self, handle: tf.Tensor, table_index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads the values that `push` appended for the same tables.

    Args:
      handle: the handle of a decoder.
      table_index: [n] int32.

    Returns:
      The next handle and [n] int32 values. Any bytes give values in -2**15..MAX_VALUE or in the
      range of the table, in a time that depends on n alone.
    """
    handle, symbol = tfc.entropy_decode_index(handle, table_index, tf.shape(table_index), tf.int32)
    where = tf.where(tf.equal(symbol, tf.gather(self._escape, table_index)))
    shape = tf.stack([tf.shape(where)[0], 2])
    handle, wide = tfc.entropy_decode_index(handle, tf.fill(shape, self._byte), shape, tf.int32)
    wide = wide[:, 0] * 256 + wide[:, 1] - ESCAPE_OFFSET
    value = symbol + tf.gather(self._offset, table_index)
    return handle, tf.tensor_scatter_nd_update(value, where, wide)

  def finish_encoder(self, handle: tf.Tensor) -> tf.Tensor:
    """The bytes of all symbols that were pushed, a scalar string."""
    return tfc.entropy_encode_finalize(handle)

  def finish_decoder(self, handle: tf.Tensor) -> tf.Tensor:
    """Whether all bytes were used, scalar bool; a weak check: the container has a checksum."""
    return tfc.entropy_decode_finalize(handle)
