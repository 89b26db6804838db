"""That the API is alive, and how it is used."""

from __future__ import annotations

import functools
from typing import Any

from chalice.app import Chalice

from chalicelib import __version__
from chalicelib.api import openapi
from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web.pages import page
from chalicelib.models.answers import Health

blueprint = Blueprint(__name__, tag="Open")


@blueprint.endpoint("GET", "/health", Health, auth=False)
def health() -> Health:
    """That the API answers, and which version of it."""
    return Health(status="ok", version=__version__)


@blueprint.endpoint("GET", "/openapi.json", dict[str, Any], auth=False)
def openapi_document() -> dict[str, Any]:
    """This description of the API, in OpenAPI 3.1."""
    return _described(blueprint.current_app)


@blueprint.endpoint("GET", "/docs", str, auth=False)
def docs() -> Reply:
    """This description of the API, as a page to read and try."""
    return page("docs")


@functools.cache
def _described(app: Chalice) -> dict[str, Any]:
    # Once in a process: it takes longer than all else that is open, and anybody may ask for it.
    return openapi.document(app)
