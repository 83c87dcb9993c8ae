"""Tests that need no TensorFlow; they also run under Pythons that TensorFlow does not support."""
