"""Reconstructs images with the stock SavedModel in a process with TensorFlow alone.

python experiments/serving/stock_worker.py SAVED_MODEL IN.npz OUT.npz

IN contains images [H, W, 3] uint8; OUT gets NAME.pixels and NAME.bits_per_pixel for each.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry


def _unknown_ops(saved_model):
  """Ops of the graph and its functions that this process lacks, and the number of kinds in all."""
  content = (pathlib.Path(saved_model) / "saved_model.pb").read_bytes()
  graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
  nodes = [graph.node, *(function.node_def for function in graph.library.function)]
  ops = {node.op for part in nodes for node in part}
  return sorted(op for op in ops if op_def_registry.get(op) is None), len(ops)


def main():
  """Arguments -> a file, and a line about the ops."""
  unknown, count = _unknown_ops(sys.argv[1])
  foreign = sorted(name for name in sys.modules if name.startswith(("bmshj", "tensorflow_comp")))
  print(f"{count} kinds of ops; not registered: {unknown}; foreign modules: {foreign}")
  reconstruct = tf.saved_model.load(sys.argv[1]).signatures["reconstruct"]
  results = {}
  with np.load(sys.argv[2]) as images:
    for name, image in images.items():
      for output, value in reconstruct(pixels=tf.constant(image[None])).items():
        results[f"{name}.{output}"] = value[0].numpy()
  np.savez(sys.argv[3], **results)
  sys.exit(bool(unknown or foreign))


if __name__ == "__main__":
  main()
