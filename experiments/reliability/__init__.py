"""The programs with any kind of file, in nightly runs, on Beam, and as a server."""
