"""A table of calls, read in order of its ids."""
