"""From the phone system to the queue."""
