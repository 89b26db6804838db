"""Uploads over HTTP."""

from __future__ import annotations

from chalicelib.api.http import Blueprint, Reply
from chalicelib.errors import (
    IdConflict,
    LengthRequired,
    NotFound,
    NotReady,
    OffsetConflict,
    QuotaExceeded,
    TooLarge,
    TooManyAttempts,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadMismatch,
)
from chalicelib.models import media_types
from chalicelib.models.answers import (
    AnnouncedPieces,
    BegunUpload,
    BegunUploads,
    PartUpload,
    Recording,
    Signature,
)
from chalicelib.models.entities import Caller, Standing
from chalicelib.models.requests import (
    Completion,
    DirectUpload,
    NewPieces,
    NewRecording,
    NewRecordings,
    ToSign,
)
from chalicelib.wiring import services

blueprint = Blueprint(__name__, tag="Uploads")

# A job puts pieces together at some 20 MB a second, and begins at once.
RETRY_AFTER_SECONDS = "2"


@blueprint.endpoint(
    "POST",
    "/recordings",
    BegunUpload,
    201,
    200,
    body=NewRecording,
    raises=(NotFound, IdConflict, QuotaExceeded, TooLarge, TooManyAttempts, UnsupportedMediaType),
    operation="beginUpload",
)
def begin(caller: Caller, body: NewRecording) -> Reply:
    """Announce a recording, and learn how to send its bytes straight to S3.

    With an `id` made by the app the call can be repeated: the same again answers 200 with a
    fresh `upload`, or none once the recording is ready. The same is what has the same size, type
    and hash. What else it says revises the recording while it is uploading and was not changed
    otherwise, and changes nothing later.
    """
    begun, is_news = services().announcing.begin(caller.account, body)
    return Reply(begun, 201 if is_news else 200)


@blueprint.endpoint(
    "POST",
    "/recordings/batch",
    BegunUploads,
    201,
    body=NewRecordings,
    raises=(NotFound, IdConflict, QuotaExceeded, TooLarge, TooManyAttempts, UnsupportedMediaType),
    operation="beginUploads",
)
def begin_all(caller: Caller, body: NewRecordings) -> BegunUploads:
    """Announce up to 25 recordings together: all of them, or none when one cannot be.

    Repeated with ids made by the app, the answer is the same, with fresh uploads.
    """
    begun = services().announcing.begin_all(caller.account, body.recordings)
    return BegunUploads(recordings=begun)


@blueprint.endpoint(
    "GET",
    "/recordings/{id}/upload",
    BegunUpload,
    standing=True,
    raises=(NotFound,),
    operation="resumeUpload",
)
def resume(caller: Caller, standing: Standing | None) -> BegunUpload:
    """Everything needed to go on with an upload: fresh URLs, and the parts that S3 already has.

    From now on the upload lives for RECORDER_UPLOAD_DAYS again, unless it is `live`. `upload` is
    null once the recording is ready.
    """
    return services().sending.resume(standing)


@blueprint.endpoint(
    "GET",
    "/recordings/{id}/upload/parts/{number}",
    PartUpload,
    standing=True,
    raises=(NotFound, NotReady),
    operation="getUploadPart",
)
def sign_part(caller: Caller, standing: Standing | None, number: int) -> PartUpload:
    """Where to send one part of a multipart upload, be it again."""
    return services().sending.part(standing, number)


@blueprint.endpoint(
    "POST",
    "/uploads/sign",
    Signature,
    body=ToSign,
    for_library=True,
    raises=(NotFound,),
    operation="signForBrowser",
)
def sign(caller: Caller, body: ToSign) -> Signature:
    """What Fine Uploader 5.16.2 in S3 mode, signature version 4, has signed.

    A policy is answered with our own, of exactly the size, type and key of an upload that is under
    way; a request of an upload in parts with its signature. What is not exactly what it sends is
    refused, and `error` says why, too. Not found where the operator has not set up a key for it.
    """
    return services().browsers.sign(caller.user_id, body)


@blueprint.endpoint(
    "POST",
    "/recordings/{id}/complete",
    Recording,
    200,
    202,
    body=Completion,
    body_optional=True,
    for_library=True,
    standing=True,
    raises=(NotFound, UploadIncomplete, UploadMismatch, NotReady),
    operation="completeUpload",
)
def complete(caller: Caller, standing: Standing | None, body: Completion) -> Reply:
    """Say that the bytes were sent. They are checked against what was announced.

    The parts of a multipart upload need not be named: S3 knows them. A `live` one says its `size`.
    A form, as upload libraries send it, says nothing. Also answers 200 when the recording already
    was ready, unless what is said of a `live` one is not so; 202 while the pieces of a long one are
    put together: ask again after `Retry-After` seconds, or wait for the changes.
    """
    recording = services().completion.complete(standing, body)
    if recording.status == "ready":
        return Reply(recording.seen())
    return Reply(recording.seen(), 202, {"Retry-After": RETRY_AFTER_SECONDS})


@blueprint.endpoint(
    "POST",
    "/recordings/{id}/pieces",
    AnnouncedPieces,
    body=NewPieces,
    standing=True,
    raises=(NotFound, NotReady, OffsetConflict, QuotaExceeded, TooLarge),
    operation="announcePieces",
)
def announce_pieces(caller: Caller, standing: Standing | None, body: NewPieces) -> AnnouncedPieces:
    """Announce pieces of a `live` upload, and learn how to send each straight to S3.

    They begin at `offset`, where those before them end. Sent again, they are signed again. What
    arrived of a recording whose app falls silent for RECORDER_LIVE_SILENCE_SECONDS becomes the
    recording.
    """
    return services().live_uploads.announce(standing, body)


@blueprint.endpoint(
    "PUT",
    "/recordings/{id}/audio",
    Recording,
    201,
    200,
    query=DirectUpload,
    body_types=media_types.DIRECT,
    raises=(
        NotFound,
        IdConflict,
        LengthRequired,
        QuotaExceeded,
        TooLarge,
        TooManyAttempts,
        UnsupportedMediaType,
    ),
    operation="uploadDirectly",
)
def receive(caller: Caller, id: str, query: DirectUpload, body: bytes, content_type: str) -> Reply:
    """Send a small recording whole, at most 4.5 MB; it may have been announced.

    The same bytes again answer 200 with the recording they made.
    """
    recording, is_new = services().direct_uploads.receive(
        caller.account, id, query, content_type, body
    )
    return Reply(recording.seen(), 201 if is_new else 200)
