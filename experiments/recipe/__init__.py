"""Which way to train gives the most in a given time."""
