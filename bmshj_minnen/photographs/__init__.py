"""Photographs: reading and writing files as 8-bit sRGB pixels, finding, crops, datasets."""
