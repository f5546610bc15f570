"""The Call Logger's API."""
