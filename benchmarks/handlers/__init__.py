"""Handlers that are measured beside the app: each answers the same six requests."""
