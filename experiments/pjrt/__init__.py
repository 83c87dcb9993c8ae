"""The training step of TensorFlow as an XLA program that JAX runs on the devices it knows."""
