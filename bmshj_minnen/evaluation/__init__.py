"""Measuring codecs through files, ours and classical ones."""
