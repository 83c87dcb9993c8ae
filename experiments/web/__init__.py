"""The codec in a web page, measured."""
