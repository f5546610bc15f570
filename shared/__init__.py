"""The floor that everything stands on; imports nothing of ours."""
