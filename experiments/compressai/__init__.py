"""CompressAI as a second opinion on every layer."""
