"""One suite for each port, over its fake and the real thing."""
