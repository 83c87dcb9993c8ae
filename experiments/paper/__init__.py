"""The paper's comparison: published points, classical codecs and our models in one table."""
