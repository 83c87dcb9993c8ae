"""Photographs through files and back: sizes, quality, times, and the cost of exactness."""
