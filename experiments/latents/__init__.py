"""The paper's figure of latents: predictions of a prior, their errors, and the cost in bits."""
