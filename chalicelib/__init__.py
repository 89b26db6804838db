"""The recorder back end: accounts, uploads and recordings behind one REST API."""

__version__ = "0.1.0"
