"""Each function as its trigger calls it."""
