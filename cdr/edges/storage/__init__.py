"""The storage account: its queues, and the tables of ledger, positions and groups."""
