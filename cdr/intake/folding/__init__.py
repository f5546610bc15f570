"""What a phone system writes of a call, folded into calls. Pure."""
