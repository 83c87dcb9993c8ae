"""Reads weights that CompressAI trained."""
