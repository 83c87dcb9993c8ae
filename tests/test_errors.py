"""Errors travel between processes: every exception of the package survives pickling."""

import ast
import enum
import importlib
import inspect
import pathlib
import pickle

import numpy as np
import pytest

import bmshj_minnen

_ROOT = pathlib.Path(bmshj_minnen.__file__).parent


def _exceptions():
  """The exceptions that all modules of the package define, programs included."""
  found = set()
  for path in sorted(_ROOT.rglob("*.py")):
    classes = [
      node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
    ]
    if not classes:
      continue
    name = ".".join([_ROOT.name, *path.relative_to(_ROOT).with_suffix("").parts])
    module = importlib.import_module(name.removesuffix(".__init__"))
    for node in classes:
      defined = getattr(module, node.name, None)  # None: inside something else.
      if inspect.isclass(defined) and issubclass(defined, BaseException):
        found.add(defined)
      else:
        bases = " ".join(map(ast.unparse, node.bases))
        assert "Error" not in bases and "Exception" not in bases, f"{name}: {node.name} is hidden"
  return sorted(found, key=lambda kind: kind.__qualname__)


_EXCEPTIONS = _exceptions()


def _example(kind):
  """An exception with one value of the right type for each argument."""
  if kind.__init__ in (base.__init__ for base in (ValueError, RuntimeError, OSError, Exception)):
    return kind("all in one line")
  parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
  return kind(*map(_value, parameters))


def _value(parameter):
  kind = parameter.annotation
  if inspect.isclass(kind) and issubclass(kind, enum.Enum):
    return next(iter(kind))
  return 7 if kind is int else f"the {parameter.name}"


def test_the_exceptions_are_found():
  assert bmshj_minnen.BitstreamError in _EXCEPTIONS and bmshj_minnen.ImageError in _EXCEPTIONS
  assert len(_EXCEPTIONS) >= 10


@pytest.mark.parametrize("kind", _EXCEPTIONS)
def test_an_exception_survives_pickling_with_its_attributes(kind):
  error = _example(kind)
  error.note_of_the_caller = "kept"
  for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is kind
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))
    assert str(copy)


def test_what_is_wrong_with_a_file_survives_pickling():
  codec = bmshj_minnen.load()
  data = codec.compress(np.zeros((32, 32, 3), np.uint8))
  flipped = bytearray(data)
  flipped[12] ^= 1
  for damaged in (b"", data[:10], data[:-3], bytes(flipped), b"PNG" + data, data + b"0"):
    with pytest.raises(bmshj_minnen.BitstreamError) as caught:
      codec.decompress(damaged)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) and "\n" not in str(copy)
    for name in ("problem", "offset", "expected", "found"):
      assert getattr(copy, name) == getattr(caught.value, name)
