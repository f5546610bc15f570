"""Each port once more, in memory."""
