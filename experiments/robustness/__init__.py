"""What the command line makes of any file, and of many."""
