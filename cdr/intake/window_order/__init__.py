"""A report that tells rows by when they started, read window by window."""
