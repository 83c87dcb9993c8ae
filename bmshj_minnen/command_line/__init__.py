"""Parts that the programs share: start-up, flags, many files, reports."""
