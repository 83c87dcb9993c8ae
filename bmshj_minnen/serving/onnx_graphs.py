"""Converts functions of tensors to ONNX graphs with tf2onnx."""

import logging
from collections.abc import Collection, Mapping
from typing import Callable

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from onnx import helper, numpy_helper

from bmshj_minnen.runtime.graph import traced

__all__ = ["OPSET", "described", "graph", "without"]

OPSET = 17  # June 2022; ONNX Runtime supports it from 1.13 on.
_OUTSIDE = "weights.npz"  # Declared location of values outside the graph; programs pass them.
_TOLERANCE = 1e-3  # Tolerance of floats, as a fraction of the largest.


def graph(
  function: Callable[..., dict[str, tf.Tensor]],
  samples: Mapping[str, np.ndarray],
  axes: Mapping[str, str],
  weights: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
  """Converts a function to a graph, runs the graph, and compares the results.

  Args:
    function: tensors of the inputs, then of the weights, in order -> outputs by name.
    samples: inputs by name, on which results are compared.
    axes: axes of inputs and outputs by name: sizes, or names of variable sizes, as in "h w 192".
    weights: initializers by name, float32.

  Raises:
    ValueError: ONNX lacks an operation, which the message names; or results differ.
  """
  signature = [tf.TensorSpec(_sizes(axes[name]), x.dtype, name) for name, x in samples.items()]
  names = {f"weight_{i}": name for i, name in enumerate(weights)}
  signature += [
    tf.TensorSpec(weights[name].shape, tf.float32, spec) for spec, name in names.items()
  ]
  general = traced(function, signature)
  concrete, model = general.get_concrete_function(), _converted(general, signature)
  # tf2onnx turns constants that a function captures into inputs.
  captured = dict(
    zip([x.name for x in concrete.inputs[len(signature) :]], concrete.captured_inputs)
  )
  for value in list(model.graph.input):
    if value.name not in samples:
      model.graph.input.remove(value)
      name = names.get(value.name, value.name)
      array = weights[name] if name in weights else captured[name].numpy()
      _rename(model.graph, value.name, name)
      model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
  for value in (*model.graph.input, *model.graph.output):
    for axis, size in zip(value.type.tensor_type.shape.dim, axes[value.name].split()):
      if not size.isdecimal():
        axis.dim_param = size
  _compare(model, general(*samples.values(), *weights.values()), samples)
  return model


def _sizes(axes):
  return [int(size) if size.isdecimal() else None for size in axes.split()]


def _converted(general, signature):
  logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
  try:
    model, _ = tf2onnx.convert.from_function(general, signature, opset=OPSET)
  except Exception as error:  # tf2onnx raises many kinds.
    raise ValueError(f"tf2onnx failed: {' '.join(str(error).split())}") from error
  known = {schema.name for schema in onnx.defs.get_all_schemas()}
  unknown = sorted({node.op_type for node in model.graph.node} - known)
  if unknown:
    raise ValueError(f"ONNX has no operations for {', '.join(unknown)}")
  return model


def _compare(model, expected, samples):
  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # Errors.
  session = onnxruntime.InferenceSession(
    model.SerializeToString(), options, providers=["CPUExecutionProvider"]
  )
  found = session.run(list(expected), dict(samples))
  for (name, tensor), array in zip(expected.items(), found):
    reference = tensor.numpy().astype(np.float64)
    # Pixels and ẑ are rounded, and may differ by one.
    allowed = max(_TOLERANCE * np.abs(reference).max(initial=0), array.dtype.kind in "iu")
    if reference.shape != array.shape or np.abs(array - reference).max(initial=0) > allowed:
      raise ValueError(f"{name} differs between TensorFlow and ONNX Runtime")


def _rename(graph, old, new):
  """Renames an input of nodes."""
  for node in graph.node:
    node.input[:] = [new if name == old else name for name in node.input]


def without(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
  """A copy of a graph without the values of some initializers; see `_OUTSIDE`."""
  result = onnx.ModelProto.FromString(model.SerializeToString())
  for tensor in result.graph.initializer:
    if tensor.name in names:
      tensor.ClearField("raw_data")
      tensor.data_location = onnx.TensorProto.EXTERNAL
      tensor.external_data.add(key="location", value=_OUTSIDE)
  return result


def described(values: list[onnx.ValueInfoProto]) -> dict[str, str]:
  """Name -> dtype and axes, such as "float32 h w 192", of inputs or outputs."""
  result = {}
  for value in values:
    tensor = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    sizes = [axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim]
    result[value.name] = " ".join([dtype, *sizes])
  return result
