"""CompressAI's results with small random models."""
