"""The description of a directory of ONNX graphs, as JSON."""

import dataclasses
import json
import pathlib
from typing import Optional

from bmshj_minnen.coding.tiling import TileGeometry

__all__ = ["MANIFEST", "REMEDY", "OnnxGraph", "Manifest", "read"]

MANIFEST = "manifest.json"
# For a model with a file that is missing or damaged.
REMEDY = "export the model again, or install the package again if the model ships with it"


@dataclasses.dataclass(frozen=True)
class OnnxGraph:
  """One graph.

  Attributes:
    file: the name of its file.
    inputs, outputs: name -> dtype and dimensions, some of them named, such as "float32 h w 192".
    weights: names of initializers that the file leaves out; they are in `weights.npz`.
    field: the inputs that a part of the result needs; None for graphs that are not run in tiles.
  """

  file: str
  inputs: dict[str, str]
  outputs: dict[str, str]
  weights: tuple[str, ...] = ()
  field: Optional[TileGeometry] = None


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The description of a directory.

  Attributes:
    model: the name of the model, or its directory when it was exported.
    fingerprint: the fingerprint of the model in its files, hexadecimal.
    opset: the ONNX opset that the graphs need.
    graphs: graphs by the names of the paper: "g_a", "h_a", "g_s" and others.
  """

  model: str
  fingerprint: str
  opset: int
  graphs: dict[str, OnnxGraph]

  def to_json(self) -> str:
    """The manifest as JSON, which `read` reads."""
    return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def read(directory: pathlib.Path) -> Manifest:
  """The manifest of a directory.

  Raises:
    ValueError: the manifest is missing or damaged.
  """
  path = directory / MANIFEST
  try:
    fields = json.loads(path.read_text("utf-8"))
    graphs = {name: _graph(**graph) for name, graph in fields.pop("graphs").items()}
    return _checked(Manifest(graphs=graphs, **fields))
  except FileNotFoundError as error:
    raise ValueError(
      f"{directory} has no ONNX graphs: `bmshj-export --format=onnx` writes a directory that has,"
      " where TensorFlow is installed"
    ) from error
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path} is damaged: export the model again ({error!r})") from error


def _checked(manifest):
  """Raises TypeError or KeyError for a manifest with which no codec can be made."""
  for name in ("g_a", "g_s"):
    if manifest.graphs[name].field is None:
      raise TypeError(f"{name} has no field")
  for graph in manifest.graphs.values():
    if not isinstance(graph.file, str) or not graph.inputs.keys() or not graph.outputs.keys():
      raise TypeError("a graph lacks its file, inputs or outputs")
  return manifest


def _graph(field=None, weights=(), **fields):
  field = None if field is None else TileGeometry(**field)
  return OnnxGraph(field=field, weights=tuple(weights), **fields)
