"""The file format, which FORMAT.md specifies: one table of fields, and its readers and writers.

`fields` is the table. `reading`, `writing` and `metadata` work on bytes. `frozen_prior` holds the
integers with which a model decodes payloads. All of these work without TensorFlow. `graph_reading`
and `graph_writing` do the same to tensors within TensorFlow's graphs.
"""
