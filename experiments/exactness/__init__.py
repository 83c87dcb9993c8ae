"""Checks that files of one setting or runtime decode to the same ŷ under every other."""
