"""The checks: each reads recorded answers and returns one finding with what it saw. None of them calls anything."""
