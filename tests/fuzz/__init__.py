"""Fuzzing: requests that nobody thought of, in search of a fault."""
