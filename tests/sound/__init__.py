"""The process that listens, and what it makes of bytes."""
