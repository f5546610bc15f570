"""A table of legs, read in order of their ends."""
