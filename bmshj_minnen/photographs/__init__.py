"""Files <-> 8-bit sRGB pixels: reading and writing, finding, crops, datasets."""
