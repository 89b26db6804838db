"""Prints the OpenAPI document: `make openapi` writes it to docs/openapi.json."""

from __future__ import annotations

import json
import sys

from app import app
from chalicelib.api.openapi import document


def text() -> str:
    """The document, as docs/openapi.json holds it."""
    return json.dumps(document(app), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
