"""Tests that need no TensorFlow: they run under Pythons that it does not know, too."""
