"""From a row in the phone system's database to an entry at the Call Logger."""
