"""TensorFlow at run time: traced functions, forks, precisions; and progress of long work."""
