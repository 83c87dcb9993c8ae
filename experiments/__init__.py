"""Demonstrations, benchmarks and studies; each prints or writes the figures in its README."""
