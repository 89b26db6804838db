"""Load: many people at once."""
