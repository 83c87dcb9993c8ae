"""Measures learned and classical codecs through files."""
