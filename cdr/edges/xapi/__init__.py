"""The phone system's own REST API."""
