"""Comparison of ways to train in equal time."""
