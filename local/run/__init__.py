"""A run on one's own machine, and what its terminal shows. Imports nothing: `dev.py` needs only `options`."""
