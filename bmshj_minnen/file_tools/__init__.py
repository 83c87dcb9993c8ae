"""Files of any kind: globs, atomic writing, and errors in one line."""
