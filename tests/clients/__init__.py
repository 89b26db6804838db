"""Clients that are generated from docs/openapi.json, and driven: `make clients`."""
