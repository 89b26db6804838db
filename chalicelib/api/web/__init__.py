"""The pages that the API serves, and what they load."""
