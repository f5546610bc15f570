"""A look before anything is sent: the newest calls as they would be submitted, and whether everything is set up."""
