"""g_cm and g_ep of each slice of channels; the paper has one slice, of all channels."""

from collections.abc import Sequence
from typing import Union

import tensorflow as tf

__all__ = ["PerSlice", "joined", "per_slice", "slices_of"]

_Layer = tf.keras.layers.Layer


class PerSlice(_Layer):
  """The networks of several slices.

  Attributes:
    slices: one network for each slice, in order.
  """

  def __init__(self, slices: Sequence[_Layer], **kwargs):
    super().__init__(**kwargs)
    self.slices = list(slices)


def per_slice(networks: Sequence[_Layer]) -> _Layer:
  """One network alone, or several as a `PerSlice`."""
  return networks[0] if len(networks) == 1 else PerSlice(networks)


def slices_of(network: Union[None, _Layer, PerSlice]) -> list[_Layer]:
  """The networks of which `per_slice` made a part of a model; none of a part that is None."""
  if network is None:
    return []
  return network.slices if isinstance(network, PerSlice) else [network]


def joined(outputs: Sequence[tf.Tensor], channels: int) -> tf.Tensor:
  """Joins the outputs of g_ep.

  Args:
    outputs: for each slice [..., parameters * channels / slices]: the means of its channels, then
      the scales, as far as there are any.
    channels: M.

  Returns:
    [..., parameters * channels]: all means, then all scales.
  """
  if len(outputs) == 1:
    return outputs[0]
  parameters = outputs[0].shape[-1] * len(outputs) // channels
  groups = zip(*(tf.split(output, parameters, axis=-1) for output in outputs))
  return tf.concat([part for group in groups for part in group], -1)
