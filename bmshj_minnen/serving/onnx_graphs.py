"""Functions of tensors as ONNX graphs, by tf2onnx."""

import logging
from collections.abc import Collection, Mapping
from typing import Callable

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from onnx import helper, numpy_helper

__all__ = ["OPSET", "described", "graph", "without"]

OPSET = 17  # Of June 2022; ONNX Runtime has it from 1.13 on.
_OUTSIDE = "weights.npz"  # Where values are said to be that are not inside; programs give them.
_TOLERANCE = 1e-3  # Of floats, as a fraction of the largest.


def graph(
  function: Callable[..., dict[str, tf.Tensor]],
  samples: Mapping[str, np.ndarray],
  axes: Mapping[str, str],
  weights: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
  """A function as a graph, which was run and compared.

  Args:
    function: tensors of the inputs, then of the weights, in order -> outputs by name.
    samples: inputs by name, to compare results on.
    axes: of inputs and outputs by name: sizes, and names of those that vary, as in "h w 192".
    weights: initializers by name, float32.

  Raises:
    ValueError: ONNX has no operations for it, and which; or results differ.
  """
  signature = [tf.TensorSpec(_sizes(axes[name]), x.dtype, name) for name, x in samples.items()]
  names = {f"weight_{i}": name for i, name in enumerate(weights)}
  signature += [
    tf.TensorSpec(weights[name].shape, tf.float32, spec) for spec, name in names.items()
  ]
  traced, concrete = _traced(function, signature)
  model = _converted(traced, signature)
  # tf2onnx makes inputs of constants that a function captures.
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
  _compare(model, traced(*samples.values(), *weights.values()), samples)
  return model


def _sizes(axes):
  return [int(size) if size.isdecimal() else None for size in axes.split()]


def _traced(function, signature):
  try:
    traced = tf.function(function, signature, autograph=False)
    return traced, traced.get_concrete_function()
  except tf.errors.OperatorNotAllowedInGraphError:  # Python's conditions in layers of one's own.
    traced = tf.function(function, signature)
    return traced, traced.get_concrete_function()


def _converted(traced, signature):
  logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
  try:
    model, _ = tf2onnx.convert.from_function(traced, signature, opset=OPSET)
  except Exception as error:  # Of many kinds.
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
    # Pixels and ẑ are rounded, which may tip over.
    allowed = max(_TOLERANCE * np.abs(reference).max(initial=0), array.dtype.kind in "iu")
    if reference.shape != array.shape or np.abs(array - reference).max(initial=0) > allowed:
      raise ValueError(f"{name} differs between TensorFlow and ONNX Runtime")


def _rename(graph, old, new):
  """Of an input of nodes."""
  for node in graph.node:
    node.input[:] = [new if name == old else name for name in node.input]


def without(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
  """The graph without the values of some initializers; see `_OUTSIDE`."""
  result = onnx.ModelProto.FromString(model.SerializeToString())
  for tensor in result.graph.initializer:
    if tensor.name in names:
      tensor.ClearField("raw_data")
      tensor.data_location = onnx.TensorProto.EXTERNAL
      tensor.external_data.add(key="location", value=_OUTSIDE)
  return result


def described(values: list[onnx.ValueInfoProto]) -> dict[str, str]:
  """Name -> dtype and axes of inputs or outputs, such as "float32 h w 192"."""
  result = {}
  for value in values:
    tensor = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    sizes = [axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim]
    result[value.name] = " ".join([dtype, *sizes])
  return result
