"""The codec without TensorFlow: its graphs, its wheels, and comparisons with TensorFlow."""
