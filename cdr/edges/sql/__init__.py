"""Databases: the phone system's calls and its members of groups."""
