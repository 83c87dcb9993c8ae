"""The model and the codec as SavedModels and ONNX graphs, which run without this package."""
