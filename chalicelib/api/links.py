"""Links over HTTP: for those who share a recording, and for those who hear it."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.web import share
from chalicelib.errors import IdConflict, NotFound, NotReady, TooManyLinks
from chalicelib.models.answers import Link, LinkList, SharedRecording
from chalicelib.models.entities import Caller, Standing
from chalicelib.models.requests import NewLink
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Links")


@blueprint.endpoint(
    "POST",
    "/recordings/{id}/links",
    Link,
    201,
    200,
    body=NewLink,
    body_optional=True,
    standing=True,
    raises=(NotFound, NotReady, IdConflict, TooManyLinks),
    operation="makeLink",
)
def make(caller: Caller, standing: Standing | None, body: NewLink) -> Reply:
    """Make a link that plays a recording to whoever has it, by default for a week.

    With an `id` made by the app the call can be repeated: the same again answers 200 with the link
    that it made. A recording has at most 100 links.
    """
    link, is_new = services().links.make(standing, body)
    return Reply(link.seen(blueprint.address), 201 if is_new else 200)


@blueprint.endpoint(
    "GET",
    "/recordings/{id}/links",
    LinkList,
    standing=True,
    raises=(NotFound,),
    operation="listLinks",
)
def listed(caller: Caller, standing: Standing | None) -> LinkList:
    """The links that open a recording now, newest first: none while it is in the trash."""
    links = services().links.listed(standing)
    return LinkList(links=[link.seen(blueprint.address) for link in links])


@blueprint.endpoint(
    "DELETE",
    "/recordings/{id}/links/{code}",
    None,
    204,
    standing=True,
    raises=(NotFound,),
    operation="takeBackLink",
)
def take_back(caller: Caller, standing: Standing | None, code: str) -> None:
    """Have a link open nothing any more; again 204 when repeated."""
    services().links.take_back(standing, code)


@blueprint.endpoint(
    "GET",
    "/s/{code}",
    SharedRecording,
    auth=False,
    limited=True,
    page=share.page_of,
    raises=(NotFound,),
    operation="openLink",
)
def open_link(code: str, source: str) -> Reply:
    """What a link plays, and where: with `Accept: application/json` as JSON, otherwise a page.

    A code that is unknown, expired or taken back, or whose recording is in the trash or gone, is
    404 `not_found`, all alike. It may be typed in either case, with hyphens or without.
    """
    opened = services().links.open(code, source)
    return Reply(opened.shared, headers=share.UNSEEN, shown=opened)
