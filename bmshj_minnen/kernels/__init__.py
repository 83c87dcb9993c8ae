"""Kernels of convolutions in the forms in which they are trained, computed and frozen."""
