"""The codec without TensorFlow: NumPy, ONNX Runtime, and a range coder in Python.

codec = bmshj_minnen.portable.load("default")
data = codec.compress(image)      # [H, W, 3] uint8 -> bytes
image = codec.decompress(data)    # and back
"""

from bmshj_minnen.portable.loading import load, load_for

__all__ = ["load", "load_for"]
