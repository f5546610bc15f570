"""Private servers that tests run against: each listens on 127.0.0.1 only, and is stopped by whoever started it."""
