"""Training and compressing beyond one process: the input, a corpus, two workers, the cost."""
