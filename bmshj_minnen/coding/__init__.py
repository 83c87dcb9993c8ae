"""Images <-> bytes: exact networks, the order of coding, tiles, and the codec around them.

Functions and methods with plain names take and return arrays. Those that end in `_graph`, and all
of `GraphCodec`, take and return tensors, eagerly or within a graph. The integer networks, the order
and the loop are for arrays and tensors alike, see `arrays`.

TensorFlow is needed by `tensors`, `graph` and those that import them, to freeze, and to refine.
"""
