"""The stand-ins of `local/` and `dev.py`."""
