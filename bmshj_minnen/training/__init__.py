"""Training: the training step, the loop, optimizers, several machines."""
