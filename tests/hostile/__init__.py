"""Recordings that somebody made to do harm, by the thousand: `python -m tests.hostile`."""
