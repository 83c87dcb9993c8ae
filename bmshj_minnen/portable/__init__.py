"""The codec without TensorFlow: NumPy, ONNX Runtime, and a range coder in Python."""
