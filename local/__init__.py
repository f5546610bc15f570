"""What stands in, on one's own machine, for Azure, the phone system and the Call Logger."""
