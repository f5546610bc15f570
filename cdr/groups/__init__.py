"""Who of a call group is there, and what becomes of its alert."""
