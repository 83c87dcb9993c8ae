"""Pictures as files: reading and writing them as 8-bit sRGB pixels, with metadata."""
