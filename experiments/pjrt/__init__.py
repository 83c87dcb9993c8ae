"""The training step of TensorFlow as an XLA program that JAX runs on any device it supports."""
