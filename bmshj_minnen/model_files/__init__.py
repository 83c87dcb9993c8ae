"""A model on disk: its directory, those that ship, weights as named arrays."""
