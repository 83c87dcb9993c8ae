"""Weights that CompressAI trained."""
