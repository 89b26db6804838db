"""Requests, answers and entities, as typed structs."""
