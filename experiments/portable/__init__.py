"""The codec without TensorFlow: its graphs, its wheels, and how it compares."""
