"""The simulated phone system: its calls, its agents, and the tables they leave."""
