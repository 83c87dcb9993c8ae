"""Demonstrations, benchmarks and studies; each prints or writes what its README quotes."""
