"""Recordings: how one comes, stays, changes and goes."""
