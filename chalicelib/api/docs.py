"""That the API is alive, and how it is used."""

from __future__ import annotations

import functools
from typing import Any

from chalice.app import Chalice

from chalicelib import __version__
from chalicelib.api import openapi
from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import documents
from chalicelib.api.web.pages import page
from chalicelib.models import media_types
from chalicelib.models.answers import AcceptedTypes, Config, Health, Limits, SignInWay
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Service")


@blueprint.endpoint("GET", "/health", Health, auth=False, operation="getHealth")
def health() -> Health:
    """That the API answers, and which version of it."""
    return Health(status="ok", version=__version__)


@blueprint.endpoint("GET", "/config", Config, auth=False, operation="getConfig")
def config() -> Config:
    """What an app needs to know before anybody is logged in."""
    settings = services().settings
    limits = Limits(
        recording_bytes=settings.max_recording_bytes,
        direct_upload_bytes=settings.direct_upload_bytes,
        quota_bytes=settings.quota_bytes,
        quota_recordings=settings.quota_recordings,
    )
    types = AcceptedTypes(direct=list(media_types.DIRECT))
    ways = [
        SignInWay(provider=each, client_ids=settings.client_ids(each))
        for each in settings.providers
    ]
    return Config(sign_in=ways, limits=limits, content_types=types)


@blueprint.endpoint("GET", "/blank", str, auth=False, operation="showBlank")
def blank() -> Reply:
    """An empty page, to which browsers without the File API are sent after an upload."""
    return page("blank")


@blueprint.endpoint(
    "GET", "/openapi.json", dict[str, Any], auth=False, operation="getOpenapiDocument"
)
def openapi_document() -> dict[str, Any]:
    """This description of the API, in OpenAPI 3.1."""
    return _described(blueprint.current_app, blueprint.root or "/")


@blueprint.endpoint("GET", "/docs", str, auth=False, operation="showDocs")
def docs() -> Reply:
    """This description of the API, as a page to read and try."""
    return documents.docs()


@functools.lru_cache(maxsize=4)
def _described(app: Chalice, server: str) -> dict[str, Any]:
    # Once in a process: it takes longer than all else that is open, and anybody may ask for it.
    return openapi.document(app, server)
