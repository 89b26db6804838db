"""Accounts: who somebody is, how they prove it, and how they go."""
