"""Images <-> bytes: exact networks, the order of coding, tiles, and the codec around them.

Functions and methods with plain names take and return arrays. Those that end in `_graph` take and
return tensors, eagerly or within a graph. `Networks`, `CompiledLayer`, and the encoder and decoder
of `wavefront` live in graphs: all that they do is with tensors.
"""
