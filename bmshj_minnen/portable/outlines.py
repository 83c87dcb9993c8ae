"""Inputs and outputs of an ONNX file, in a millisecond and without ONNX Runtime.

A session finds a damaged graph only when it is made, which takes a tenth of a second, and most runs
need only some of the sessions of a model. Field numbers are those of onnx.proto.
"""

import pathlib
from collections.abc import Iterator
from typing import Union

from bmshj_minnen.portable.manifest import Manifest

__all__ = ["REMEDY", "check"]

REMEDY = "export the model again, or install the package again if the model ships with it"
_GRAPH, _INPUT, _OUTPUT = 7, 11, 12  # The first in ModelProto, the others in GraphProto.
_NAME, _TYPE = 1, 2  # In ValueInfoProto.
_TENSOR, _ELEMENT, _SHAPE, _AXIS = 1, 1, 2, 1  # In TypeProto, its tensor_type, and the shape.
_SIZE, _VARIABLE = 1, 2  # In a dimension: its number, or its name.
_DTYPES = {1: "float32", 2: "uint8", 6: "int32", 7: "int64", 11: "float64"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

_Field = tuple[int, Union[int, memoryview]]


def check(directory: pathlib.Path, manifest: Manifest, names: tuple[str, ...]) -> None:
  """Checks that files of graphs are whole, and have the inputs and outputs of the manifest.

  Args:
    directory: the folder of the graphs.
    manifest: the manifest of the folder.
    names: the graphs to check; others than those of the manifest are passed over.

  Raises:
    ValueError: a file is missing or damaged, or holds another graph; the message names it.
  """
  for name in names:
    if name not in manifest.graphs:
      continue
    graph = manifest.graphs[name]
    path = directory / graph.file
    try:
      found = _outline(memoryview(path.read_bytes()))
    except OSError as error:
      raise ValueError(f"{path} cannot be read ({error.strerror}): {REMEDY}") from error
    except (IndexError, TypeError, ValueError) as error:
      raise ValueError(f"{path} is damaged, no whole ONNX graph: {REMEDY}") from error
    if found != (graph.inputs, graph.outputs):
      raise ValueError(f"{path} is another graph than its manifest says: {REMEDY}")


def _outline(data):
  """The inputs and outputs of a file: name -> dtype and axes, such as "float32 h w 192"."""
  (graph,) = _all(data, _GRAPH)
  return tuple(dict(map(_described, _all(graph, field))) for field in (_INPUT, _OUTPUT))


def _described(value):
  (name,), (kind,) = _all(value, _NAME), _all(value, _TYPE)
  (tensor,) = _all(kind, _TENSOR)
  (element,) = _all(tensor, _ELEMENT)
  axes = [axis for shape in _all(tensor, _SHAPE) for axis in _all(shape, _AXIS)]
  return str(name, "utf-8"), " ".join([_DTYPES.get(element, "other"), *map(_size, axes)])


def _size(axis):
  fields = dict(_fields(axis))
  return str(fields[_VARIABLE], "utf-8") if _VARIABLE in fields else str(fields.get(_SIZE, 0))


def _all(message, number):
  return [value for field, value in _fields(message) if field == number]


def _fields(message: memoryview) -> Iterator[_Field]:
  """The fields of a message, numbers with values.

  Raises:
    IndexError, ValueError: the bytes are no whole message.
  """
  at = 0
  while at < len(message):
    key, at = _varint(message, at)
    kind = key & 7
    if kind == _VARINT:
      value, at = _varint(message, at)
      yield key >> 3, value
      continue
    if kind == _BYTES:
      size, at = _varint(message, at)
    else:
      size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, len(message))
    if at + size > len(message):
      raise ValueError("the message ends too early")
    yield key >> 3, message[at : at + size]
    at += size


def _varint(message, at):
  value = shift = 0
  while shift < 64:
    byte = message[at]
    value |= (byte & 127) << shift
    at, shift = at + 1, shift + 7
    if byte < 128:
      return value, at
  raise ValueError("a number has too many bytes")
