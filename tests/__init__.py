"""The tests, by what they need: nothing (unit), one real party (contract), or all of them (e2e, faults)."""
