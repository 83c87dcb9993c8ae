"""The model and the codec as SavedModels, which run without any Python of this package."""
