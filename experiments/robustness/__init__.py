"""Tests of the command line with any kind of file, and with many files."""
