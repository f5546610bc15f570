"""The words that everybody else speaks. Pure."""
