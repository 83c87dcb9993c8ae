"""The paper's priors at equal training, and other orders of coding."""
