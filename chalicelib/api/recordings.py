"""Recordings over HTTP."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from chalicelib.api.http import Blueprint, Reply
from chalicelib.errors import CursorExpired, NotFound, NotReady, VersionConflict
from chalicelib.models.answers import Changes, PlayableRecording, Recording, RecordingPage, Waveform
from chalicelib.models.entities import Caller, Standing
from chalicelib.models.fields import IfMatch
from chalicelib.models.requests import ChangesQuery, DeletionQuery, RecordingChange, ShelfQuery
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Recordings")


@blueprint.endpoint(
    "GET", "/recordings", RecordingPage, query=ShelfQuery, operation="listRecordings"
)
def shelf(caller: Caller, query: ShelfQuery) -> RecordingPage:
    """One page of recordings, newest first unless `order` is `asc`.

    `next` goes into `after` for the next page; it is null on the last one. With `q`, `tag`,
    `recorded_from` or `recorded_to`, both of them inclusive, it is of those alone that are all of
    this, and may be short, or empty with a `next`.
    """
    return services().library.shelf(caller.user_id, query)


@blueprint.endpoint(
    "GET",
    "/recordings/changes",
    Changes,
    query=ChangesQuery,
    raises=(CursorExpired,),
    operation="listChanges",
)
def changes(caller: Caller, query: ChangesQuery) -> Changes:
    """What changed since the last time, deletions included, oldest first.

    Begin without `since`; then send the `cursor` of each answer. What changed in the last minute
    comes again the next time: it has the same `id` and `version`.
    """
    return services().feed.changes(caller.user_id, query)


@blueprint.endpoint(
    "GET",
    "/recordings/{id}",
    PlayableRecording,
    standing=True,
    raises=(NotFound,),
    operation="getRecording",
)
def find(caller: Caller, standing: Standing | None) -> Reply:
    """A recording, and where it plays when it is ready."""
    library = services().library
    recording = library.find(standing)
    seen = msgspec.structs.asdict(recording.seen())
    playable = PlayableRecording(**seen, audio=library.audio(recording) or UNSET)
    return Reply(playable, headers=_version_header(playable))


@blueprint.endpoint(
    "GET",
    "/recordings/{id}/waveform",
    Waveform,
    standing=True,
    raises=(NotFound, NotReady),
    operation="getWaveform",
)
def waveform(caller: Caller, standing: Standing | None) -> Waveform:
    """The waveform, as audiowaveform's JSON of version 2 has it.

    It is known seconds after the recording is ready: until then it is `not_ready`, with
    Retry-After. When the bytes are no sound, it is `not_found`.
    """
    return services().library.waveform(standing)


@blueprint.endpoint(
    "PATCH",
    "/recordings/{id}",
    Recording,
    body=RecordingChange,
    headers={"If-Match": IfMatch},
    raises=(NotFound, VersionConflict),
    operation="updateRecording",
)
def revise(caller: Caller, id: str, body: RecordingChange, if_match: str | None) -> Reply:
    """Change what people say about a recording; what is left out stays as it is."""
    version = _version(if_match)
    revised = services().library.revise(caller.user_id, id, body, version).seen()
    return Reply(revised, headers=_version_header(revised))


@blueprint.endpoint(
    "DELETE",
    "/recordings/{id}",
    None,
    204,
    query=DeletionQuery,
    standing=True,
    raises=(NotFound,),
    operation="deleteRecording",
)
def delete(caller: Caller, standing: Standing | None, query: DeletionQuery) -> None:
    """Move a recording to the trash, or delete it for good; again 204 when repeated.

    An upload under way is rolled back at once.
    """
    services().deletion.delete(standing, permanent=query.permanent)


@blueprint.endpoint(
    "POST",
    "/recordings/{id}/restore",
    Recording,
    headers={"If-Match": IfMatch},
    standing=True,
    raises=(NotFound, NotReady, VersionConflict),
    operation="restoreRecording",
)
def restore(caller: Caller, standing: Standing | None, if_match: str | None) -> Reply:
    """Bring a recording back from the trash; one that is ready stays as it is."""
    restored = services().deletion.restore(standing, _version(if_match)).seen()
    return Reply(restored, headers=_version_header(restored))


def _version(if_match: str | None) -> int | None:
    """The version that If-Match names; None for any."""
    return None if if_match in (None, "*") else int(if_match.removeprefix("W/").strip('"'))


def _version_header(recording: Recording) -> dict[str, str]:
    return {"ETag": f'"{recording.version}"'}
