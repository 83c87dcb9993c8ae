"""What the programs share: start-up, flags, many files, what they print."""
