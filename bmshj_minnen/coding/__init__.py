"""Images <-> bytes: exact networks, the order of coding, tiles, and the codec around them.

Functions and methods with plain names take and return arrays. Names that end in `_graph`, and all
of `GraphCodec`, take and return tensors, eagerly or within a graph. The integer networks, the order
and the loop work on arrays and tensors alike, see `arrays`.

TensorFlow is needed by `tensors`, `graph` and their importers, to freeze, and to refine.
"""
