"""Compressing and decompressing a corpus with Apache Beam (the extra `beam`)."""
