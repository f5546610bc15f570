"""What needs nothing but fakes."""
