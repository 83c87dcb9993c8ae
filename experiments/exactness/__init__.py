"""Checks that files written under one setting decode to the same ŷ under every other."""
