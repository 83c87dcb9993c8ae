"""Training data: photographs that are found and checked, cropped, or kept as a dataset."""
