"""The paper's figure of latents: what a prior predicts, what it misses, and what that costs."""
