"""Writes the codec as a static site: a page, its JavaScript, and a model.

Files of the model have a hash in their names, so that browsers may keep them for ever. `site.json`
lists them.
"""

import hashlib
import json
import pathlib
import shutil
import tempfile
from typing import Any, Optional

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from bmshj_minnen.config import PAPERS_NETWORKS
from bmshj_minnen.data.finding import held_out_photographs
from bmshj_minnen.evaluation import viewer
from bmshj_minnen.evaluation.pictures import BITS_COLOURS, MAX_BITS
from bmshj_minnen.model_files import array_files, catalogue
from bmshj_minnen.model_files.codec_files import read_prior, read_weights
from bmshj_minnen.portable.loading import graphs_of, has_graphs, read_graphs
from bmshj_minnen.portable.manifest import REMEDY
from bmshj_minnen.serving import onnx_export
from bmshj_minnen.web import onnxruntime

__all__ = ["export"]

_HERE = pathlib.Path(__file__).parent
_CODE = ("*.js", "*.wasm")
_RUNTIME = "onnxruntime/"


def export(
  model: str, output: pathlib.Path, onnxruntime_web: Optional[pathlib.Path] = None
) -> pathlib.Path:
  """Writes the site of a model.

  Args:
    model: a model directory, or the name of a shipped model.
    output: the new directory; written completely or not at all.
    onnxruntime_web: a folder with the files of `onnxruntime.FILES`, which are copied; None: the
      page fetches them from `onnxruntime.CDN`.

  Returns:
    The new directory.

  Raises:
    ValueError: the model does not exist, has a damaged file or other networks than the paper's;
      `output` exists; or onnxruntime-web is not in the folder, or of another version.
  """
  if output.exists():
    raise ValueError(f"{output} exists: take another directory")
  directory = catalogue.find(model)
  prior = read_prior(directory)
  if prior.config.networks != PAPERS_NETWORKS:
    raise ValueError(f"{model} has other networks than the paper's: a page decodes those alone")
  temporary = output.with_name(f"{output.name}.tmp")
  shutil.rmtree(temporary, ignore_errors=True)
  temporary.mkdir(parents=True)
  try:
    _write_code(temporary)
    description = _write_model(directory, prior, temporary)
    base = onnxruntime.CDN
    if onnxruntime_web is not None:
      base = _RUNTIME
      (temporary / base).mkdir()
      onnxruntime.copy(onnxruntime_web, temporary / base)
    description["runtime"] = onnxruntime.described(base)
    description["bits"] = {"colours": BITS_COLOURS, "most": MAX_BITS}
    description["example"] = _write_example(temporary)
    text = json.dumps(description, allow_nan=False, separators=(",", ":"))
    (temporary / "site.json").write_text(text, "utf-8")
    temporary.rename(output)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return output


def _write_code(folder):
  for room in ("codec", "page"):
    (folder / room).mkdir()
    for pattern in _CODE:
      for path in sorted((_HERE / room).glob(pattern)):
        shutil.copyfile(path, folder / room / path.name)
  (folder / "page" / "viewer.js").write_text(viewer.script(), "utf-8")
  style = viewer.style() + (_HERE / "page" / "page.css").read_text("utf-8")
  (folder / "page" / "page.css").write_text(style, "utf-8")
  page = (_HERE / "page" / "index.html").read_text("utf-8")
  (folder / "index.html").write_text(viewer.filled(page, {"viewer": viewer.markup()}), "utf-8")


def _write_model(directory, prior, folder) -> dict[str, Any]:
  (folder / "model").mkdir()
  config = prior.config
  weights = read_weights(directory, prior.fingerprint, ("g_a", "h_a", "g_s", "gains"))
  graphs = _graphs(directory, prior, weights)
  gains = None
  if config.gain_lambdas:
    gains = {name: weights[f"gains/{name}"].tolist() for name in ("log_gain", "log_inverse")}
  coder = (directory / array_files.CODER).read_bytes()
  return {
    "name": directory.name,
    "fingerprint": prior.fingerprint.hex(),
    "coder": _written(folder, "coder", "npz", coder),
    "graphs": {
      name: {**_written(folder, name, "onnx", data), "field": field}
      for name, (data, field) in graphs.items()
    },
    "gains": gains,
  }


def _graphs(directory, prior, weights):
  """Name -> the graph of a network with its weights, and its field as a dictionary."""
  with tempfile.TemporaryDirectory() as temporary:
    folder = graphs_of(directory)
    if not has_graphs(directory):
      folder = pathlib.Path(temporary)
      onnx_export.write_graphs(str(directory), folder, inside=False)
    result = {}
    for name, graph in read_graphs(folder, directory, prior, weights).graphs.items():
      if graph.field is None:  # The page has code of its own for the integer networks.
        continue
      proto = _load(folder / graph.file)
      arrays = {key: weights[key] for key in graph.weights}
      result[name] = _with_weights(proto, arrays).SerializeToString(), vars(graph.field)
    return result


def _load(path):
  try:
    return onnx.load(str(path), load_external_data=False)
  except DecodeError as error:
    raise ValueError(f"{path} is damaged: {REMEDY}") from error


def _with_weights(proto, arrays):
  """The graph with weights that it leaves out: in 16 bits, where these hold them exactly."""
  initializers, casts = [], []
  for tensor in proto.graph.initializer:
    if tensor.name not in arrays:
      initializers.append(tensor)
      continue
    array = np.ascontiguousarray(arrays[tensor.name], np.float32)
    with np.errstate(over="ignore"):
      half = array.astype(np.float16)
    if np.array_equal(half, array):
      name = f"{tensor.name}/16"
      initializers.append(numpy_helper.from_array(half, name))
      casts.append(helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    else:
      initializers.append(numpy_helper.from_array(array, tensor.name))
  nodes = [*casts, *proto.graph.node]
  for field, values in ((proto.graph.initializer, initializers), (proto.graph.node, nodes)):
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
  return proto


def _written(folder, stem, suffix, data):
  name = f"model/{stem}-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
  (folder / name).write_bytes(data)
  return {"file": name, "bytes": len(data)}


def _write_example(folder):
  """A photograph that no model was trained on."""
  path = pathlib.Path(held_out_photographs()[0])
  name = f"example{path.suffix}"
  shutil.copyfile(path, folder / name)
  return name
