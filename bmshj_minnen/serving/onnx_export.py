"""Writes the ONNX graphs of a model, for `bmshj_minnen.portable` and for other programs."""

import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import onnx
import tensorflow as tf

from bmshj_minnen.coding import tensors
from bmshj_minnen.coding.fixed_point import scaled_weights
from bmshj_minnen.coding.networks import IntegerNetworks, layers_of_a_step
from bmshj_minnen.coding.tensor_transforms import TensorTransforms
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import GDN
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import catalogue, snapshots, weights
from bmshj_minnen.model_files.codec_files import read_prior, read_weights
from bmshj_minnen.portable.manifest import MANIFEST, Manifest, OnnxGraph
from bmshj_minnen.portable.onnx_networks import STEP
from bmshj_minnen.serving import onnx_graphs

__all__ = ["export", "write_graphs"]


def export(model: str, output: pathlib.Path) -> pathlib.Path:
  """Writes a directory that `portable.load` reads: graphs, integer prior, gains and a manifest.

  Args:
    model: a model directory, or the name of a shipped model.
    output: the new directory; written completely or not at all.

  Returns:
    The new directory.

  Raises:
    ValueError: the model does not exist; `output` exists; or a network has no ONNX graph.
  """
  if output.exists():
    raise ValueError(f"{output} exists: take another directory")
  directory = catalogue.find(model)
  prior = read_prior(directory)
  gains = read_weights(directory, prior.fingerprint, ("gains",))
  temporary = output.with_name(f"{output.name}.tmp")
  shutil.rmtree(temporary, ignore_errors=True)
  temporary.mkdir(parents=True)
  try:
    write_graphs(model, temporary)
    snapshots.Snapshot(prior.config, gains, prior).write(temporary)
    temporary.rename(output)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  return output


def write_graphs(model: str, folder: pathlib.Path, inside: bool = True) -> None:
  """Writes the graphs and their manifest into a folder.

  Args:
    model: a model directory, or the name of a shipped model.
    folder: an existing folder.
    inside: whether the graphs contain the weights; if not, programs pass them from the files of
      the model, and `h_s` is left out.

  Raises:
    ValueError: the model does not exist, or a network has no ONNX graph.
  """
  directory = catalogue.find(model)
  prior = read_prior(directory)
  arrays = read_weights(directory, prior.fingerprint)
  made = _of_transforms(prior.config, arrays)
  made.update(_of_prior(prior))
  if not inside:
    made.pop("h_s", None)
  graphs = {}
  for name, (proto, held, field) in made.items():
    inputs, outputs = map(onnx_graphs.described, (proto.graph.input, proto.graph.output))
    outside = () if inside else tuple(held)
    graphs[name] = OnnxGraph(f"{name}.onnx", inputs, outputs, outside, field)
    onnx.save(onnx_graphs.without(proto, outside), str(folder / f"{name}.onnx"))
  manifest = Manifest(directory.name, prior.fingerprint.hex(), onnx_graphs.OPSET, graphs)
  (folder / MANIFEST).write_text(manifest.to_json(), "utf-8")


def _of_transforms(config, arrays):
  """Name -> graph, names of its weights, and receptive field."""
  model = Model(config, has_variables=False)
  if isinstance(model.g_s, Chain):
    model.g_s = model.g_s.in_phases()
  for gdn in _gdns(model.g_a):
    gdn.is_convolution = True  # ONNX has channels first.
  weights.hold(model, arrays)
  transforms = TensorTransforms(model)
  random, m = np.random.default_rng(0), config.latent_channels
  image = random.integers(0, 256, [70, 50, 3]).astype(np.uint8)
  latents = random.normal(0, 3, [5, 4, m]).astype(np.float32)
  axes = {
    "image": "height width 3",
    "pixels": "height width 3",
    "y": f"h w {m}",
    "y_hat": f"h w {m}",
    "z_hat": f"hyper_h hyper_w {config.num_filters}",
  }
  result = {}
  for name, (source, target, sample) in {
    "g_a": ("image", "y", image),
    "h_a": ("y", "z_hat", latents),
    "g_s": ("y_hat", "pixels", latents),
  }.items():
    network = getattr(model, name)
    if network is None:
      continue
    held = weights.held(name, network)

    def compute(x, *constants, name=name, network=network, held=held, target=target):
      if held:  # Rearranged within the graph, so that initializers are the model's weights.
        weights.hold_network(name, network, config, dict(zip(held, constants)))
      return {target: getattr(transforms, f"{name}_graph")(x)}

    constants = {key: np.asarray(arrays[key], np.float32) for key in held}
    proto = _graph(name, compute, {source: sample}, axes, constants)
    result[name] = proto, held, transforms.fields[name]
  return result


def _gdns(network):
  layers = network.layers if isinstance(network, Chain) else ()
  activations = (getattr(layer, "activation", None) for layer in layers)
  return [activation for activation in activations if isinstance(activation, GDN)]


class _Operations:
  """The namespace `tensors`, except for an operation that ONNX lacks, and for weights from outside.

  Args:
    held: arrays, and the tensors that take their places in products.
  """

  def __init__(self, held: Sequence[tuple[np.ndarray, tf.Tensor]] = ()):
    self._held, self.Product = held, self._product

  def __getattr__(self, name):
    return getattr(tensors, name)

  def _product(self, weights, few_rows):
    del few_rows
    outside = [tensor for array, tensor in self._held if np.array_equal(array, weights)]
    constant = outside[0] if outside else tf.constant(weights)
    return lambda x: tf.matmul(x, constant)

  @staticmethod
  def searchsorted(bounds, values):
    return tf.reduce_sum(tf.cast(values[:, None] > bounds, tf.int32), 1)


def _of_prior(prior):
  """The same for the prior: "h_s", which prepares psi, and "step", which uses it, if they exist."""
  config, result = prior.config, {}
  if not config.parts.is_conditional:
    return result
  if prior.order.slices > 1 or prior.mixture:  # The codec needs none of these graphs.
    return result
  networks, m = IntegerNetworks(prior, "float32", _Operations()), config.latent_channels
  random, inputs = np.random.default_rng(0), {}
  axes = {"height": "", "width": "", "mean": f"n {m}", "table_index": f"n {m}"}
  if config.parts.hyperprior:
    z_hat = random.integers(-9, 10, [1, 1, config.num_filters]).astype(np.float32)
    samples = {"z_hat": z_hat, "height": np.array(2, np.int32), "width": np.array(3, np.int32)}

    def h_s(z_hat, height, width):
      return {"prepared": networks.prepare(networks.psi(z_hat, height, width))}

    inputs = {"prepared": h_s(*map(tf.constant, samples.values()))["prepared"].numpy()}
    axes["prepared"] = f"n {inputs['prepared'].shape[1]}"
    axes["z_hat"] = f"hyper_h hyper_w {config.num_filters}"
    result["h_s"] = _graph("h_s", h_s, samples, axes, {}), (), None
  if config.parts.context:
    neighbours = len(prior.layers["g_cm"].weights)
    x = random.integers(-(2**15), 2**15, [6, neighbours]).astype(np.float32)
    inputs["neighbours"] = networks.split(tf.constant(x)).numpy()
    axes["neighbours"] = f"{networks.num_parts} n {neighbours}"

  without_psi = None if "prepared" in inputs else networks.prepare(tf.zeros([1, 0]))
  constants = {
    name: scaled_weights(layer).astype(np.float32)
    for name, layer in layers_of_a_step(prior).items()
  }

  def step(*values):
    named = dict(zip([*inputs, *constants], values))
    held = [(array, named[name]) for name, array in constants.items()]
    own = IntegerNetworks(prior, "float32", _Operations(held))
    prepared = named.get("prepared", without_psi)
    mean, table_index = own.parameters(prepared, named.get("neighbours"))
    return {"mean": mean, "table_index": table_index}

  result[STEP] = _graph(STEP, step, inputs, axes, constants), tuple(constants), None
  return result


def _graph(name, *arguments):
  try:
    return onnx_graphs.graph(*arguments)
  except ValueError as error:
    raise ValueError(f"{name} has no ONNX graph: {error}") from error
