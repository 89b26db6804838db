"""Uploads over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.core.tokens import Caller
from chalicelib.errors import (
    IdConflict,
    NotFound,
    NotReady,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models.answers import BegunUpload, Recording
from chalicelib.models.fields import AUDIO_TYPES
from chalicelib.models.requests import Completion, DirectUpload, NewRecording
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Uploads")


@blueprint.endpoint(
    "POST",
    "/recordings",
    BegunUpload,
    201,
    200,
    body=NewRecording,
    raises=(NotFound, IdConflict, QuotaExceeded, TooLarge, UnsupportedMediaType),
)
def begin(caller: Caller, body: NewRecording) -> Reply:
    """Announce a recording, and learn how to send its bytes straight to S3.

    With an `id` made by the app the call can be repeated: the same again answers 200 with a
    fresh `upload`, or none once the recording is ready.
    """
    uploads = services().uploads
    recording, is_new = uploads.begin(caller.user_id, body)
    begun = BegunUpload(recording=recording.seen(), upload=uploads.instructions(recording))
    return Reply(begun, 201 if is_new else 200)


@blueprint.endpoint(
    "POST",
    "/recordings/{id}/complete",
    Recording,
    body=Completion,
    body_optional=True,
    raises=(NotFound, UploadIncomplete, UploadMismatch, NotReady),
)
def complete(caller: Caller, id: str, body: Completion) -> Recording:
    """Say that the bytes were sent. They are checked against what was announced.

    Also answers 200 when the recording already was ready.
    """
    return services().uploads.complete(caller.user_id, id).seen()


@blueprint.endpoint(
    "PUT",
    "/recordings/{id}/audio",
    Recording,
    201,
    200,
    query=DirectUpload,
    body_types=AUDIO_TYPES,
    raises=(NotFound, IdConflict, QuotaExceeded, TooLarge, UnsupportedMediaType),
)
def receive(caller: Caller, id: str, query: DirectUpload, body: bytes, content_type: str) -> Reply:
    """Send a small recording whole, at most 4.5 MB.

    The same bytes again answer 200 with the recording they made.
    """
    recording, is_new = services().uploads.receive(
        caller.user_id, id, query.file_name, content_type, body
    )
    return Reply(recording.seen(), 201 if is_new else 200)
