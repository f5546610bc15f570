"""From the queue to the Call Logger."""
