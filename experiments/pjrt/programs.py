"""XLA programs of TensorFlow as functions of JAX.

jaxlib converts the HLO to StableHLO, which replaces the body of a function that `jax.export` has
exported, so that everything that JAX does with functions works: jit, donation, loops. Two calls are
not part of JAX's public interface, `hlo_to_stablehlo` and the MLIR bindings; they work with JAX
0.10.2, 0.11.2 and 0.12.0.
"""

import dataclasses
from typing import Callable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax._src.interpreters import mlir
from jax._src.lib import xla_client
from jax._src.lib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

__all__ = ["from_hlo"]

_DTYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32, "ui8": np.uint8}


def from_hlo(hlo: bytes) -> Callable[..., list[jax.Array]]:
  """A function of arrays that runs a serialized HloModuleProto on JAX's default device.

  `jax_enable_x64` must be set if the program has 64-bit arguments.
  """
  with mlir.make_ir_context():
    module = ir.Module.parse(xla_client._xla.mlir.hlo_to_stablehlo(hlo))
    _drop_xla_annotations(module)
    (main,) = (op for op in module.body.operations if op.attributes["sym_name"].value == "main")
    arguments = [_shape(argument) for argument in main.type.inputs]
    results = [_shape(result) for result in main.type.results]
    body = stablehlo.serialize_portable_artifact(module, stablehlo.get_current_version())

  def placeholder(*_):
    return [jnp.zeros(result.shape, result.dtype) for result in results]

  exported = jax.export.export(jax.jit(placeholder, keep_unused=True))(*arguments)
  return dataclasses.replace(exported, mlir_module_serialized=body).call


def _drop_xla_annotations(module):
  """Removes operations that StableHLO lacks: hints to XLA, and copies of values."""
  attributes = module.operation.attributes
  for name in [key if isinstance(key, str) else key.name for key in attributes]:
    if name.startswith("mhlo."):
      del attributes[name]
  copies = []

  def collect(op):
    if op.name == "mhlo.copy":
      copies.append(op)
    return ir.WalkResult.ADVANCE

  module.operation.walk(collect)
  for copy in copies:
    copy.results[0].replace_all_uses_with(copy.operands[0])
    copy.erase()


def _shape(mlir_type):
  tensor = ir.RankedTensorType(mlir_type)
  return jax.ShapeDtypeStruct(tuple(tensor.shape), _DTYPES[str(tensor.element_type)])
