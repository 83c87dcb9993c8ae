"""Training: the step, the loop around it, optimizers, several machines."""
