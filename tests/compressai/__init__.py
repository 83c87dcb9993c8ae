"""What CompressAI computes with small random models."""
