"""Models on disk: model directories, shipped models, weights as named arrays."""
