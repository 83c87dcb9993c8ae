"""The file format, which FORMAT.md specifies: one table of fields, and its readers and writers.

`fields` is the table; `reading`, `writing` and `metadata` work on bytes, and `frozen_prior` holds
what a model decodes payloads with: none needs TensorFlow. `graph_reading` and `graph_writing` do
the same to tensors within TensorFlow's graphs.
"""
