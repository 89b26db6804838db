"""The web recorder, and what this API's pages load."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import files, recorders
from chalicelib.errors import NotFound
from chalicelib.wiring import services

# What is under a name that changes with it does not change.
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

blueprint = Blueprint(__name__, tag="Service")


@blueprint.endpoint("GET", "/", str, auth=False, operation="showRecorder")
def recorder() -> Reply:
    """The web recorder, as a page: sign up, record, listen, share."""
    # API Gateway answers /stage as it does /stage/, so nothing can be relative to the page.
    settings = services().settings
    doors = tuple(
        # The last of the client ids is the web's.
        recorders.Door(each, settings.sign_in_page(each), settings.client_ids(each)[-1])
        for each in settings.providers
    )
    return recorders.recorder(blueprint.root, services().storage_origins, doors)


@blueprint.endpoint(
    "GET",
    "/web/{folder}/{name}",
    str,
    auth=False,
    texts=tuple(files.TYPES.values()),
    raises=(NotFound,),
    operation="getWebFile",
)
def web_file(folder: str, name: str) -> Reply:
    """A script or a style sheet of a page's; it may be kept for ever."""
    found = files.find(folder, name)
    if found is None:
        raise NotFound("There is no such file, or no longer: load the page again")
    text = found.read_text(encoding="utf-8")
    return Reply(
        text, headers=FOR_EVER | {"Content-Type": f"{files.TYPES[found.suffix]}; charset=utf-8"}
    )
