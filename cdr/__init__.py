"""Everything about calls: from the phone system's records to the Call Logger."""

__version__ = "1.0.0"
