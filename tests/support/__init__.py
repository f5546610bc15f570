"""What tests of every folder use."""
