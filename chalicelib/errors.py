"""The errors people can meet: each a class with a status, a stable code and a title.

The codes are part of the contract: apps switch on them, so one is never renamed or reused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

if TYPE_CHECKING:
    from chalicelib.models.answers import Recording


class FieldError(Struct, frozen=True):
    """One thing wrong with a request: which field, and what about it."""

    field: str
    message: str


class RecorderError(Exception):
    """Base of every error that is answered to the caller as it is.

    `detail` is a sentence for people. It never carries a secret, nor input that was refused.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    headers: Mapping[str, str] = MappingProxyType({})
    current: Recording | None = None
    """What stands in the way, where it helps to know it."""
    offset: int | None = None
    """Where to go on, where that is what to do."""

    def __init__(
        self, detail: str, *, field: str | None = None, errors: Iterable[FieldError] = ()
    ) -> None:
        """Say what happened; `field` or `errors` name what in the request is to blame."""
        super().__init__(detail)
        self.detail = detail
        # A field that is unknown has whatever name the caller gave it.
        self.errors = [FieldError(field[:100], detail)] if field else list(errors)


class InvalidRequest(RecorderError):
    """The request does not have the documented shape."""

    status, code, title = 400, "invalid_request", "The request is not valid"


class Unauthorized(RecorderError):
    """Base of the 401s; RFC 9110 wants each to name the scheme that would help."""

    status = 401
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class NotAuthenticated(Unauthorized):
    """No token, or one that this API did not issue or no longer honours."""

    code, title = "not_authenticated", "Log in first"


class TokenExpired(Unauthorized):
    """The access token was good once; a refresh gives another."""

    code, title = "token_expired", "The access token has expired"


class InvalidCredentials(Unauthorized):
    """Address or password is wrong, which of them is not said; or an id token is refused."""

    code, title = "invalid_credentials", "What was given does not log in"


class RefreshTokenReused(Unauthorized):
    """A refresh token that had long been replaced was used: its session is over."""

    code, title = "refresh_token_reused", "The refresh token was used before"


class QuotaExceeded(RecorderError):
    """The recording does not fit into what is left of the user's quota."""

    status, code, title = 403, "quota_exceeded", "The quota is used up"


class EmailNotConfirmed(RecorderError):
    """The operator wants addresses to be confirmed before this can be done."""

    status, code, title = 403, "email_not_confirmed", "Confirm the address first"


class NotFound(RecorderError):
    """No such recording or session, also when it is somebody else's; nor is it offered here."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(RecorderError):
    """The path exists, but not for this method."""

    status, code, title = 405, "method_not_allowed", "The method is not allowed here"


class EmailTaken(RecorderError):
    """Somebody has an account with this address already, or with this way to sign in."""

    status, code, title = 409, "email_taken", "The address is taken"


class IdConflict(RecorderError):
    """The id belongs to a recording with other contents."""

    status, code, title = 409, "id_conflict", "The id is taken by another recording"


class UploadIncomplete(RecorderError):
    """The bytes have not arrived yet; the upload can go on."""

    status, code, title = 409, "upload_incomplete", "The upload is not complete"


class UploadMismatch(RecorderError):
    """Other bytes arrived than were announced; the upload can be tried again."""

    status, code, title = 409, "upload_mismatch", "The upload is not what was announced"


class NotReady(RecorderError):
    """The recording, or the account, is not in a state in which this can be done."""

    status, code, title = 409, "not_ready", "Not in a state in which this can be done"

    def __init__(self, detail: str, *, seconds: int | None = None) -> None:
        """Say what happened; after `seconds` it may be ready."""
        super().__init__(detail)
        if seconds is not None:
            self.headers = {"Retry-After": str(seconds)}


class LastSignIn(RecorderError):
    """Nothing else would log in to the account."""

    status, code, title = 409, "last_sign_in", "It is the only way to sign in"


class TooManyLinks(RecorderError):
    """The recording has as many links as one may have; take one back first."""

    status, code, title = 409, "too_many_links", "The recording has too many links"


class OffsetConflict(RecorderError):
    """Pieces do not follow what was announced before them, nor are they among it."""

    status, code, title = 409, "offset_conflict", "The pieces begin or end elsewhere"

    def __init__(self, offset: int) -> None:
        """Say where the next piece begins."""
        super().__init__(f"The next piece begins at {offset}", field="offset")
        self.offset = offset


class VersionConflict(RecorderError):
    """The recording changed since the version named in If-Match."""

    status, code, title = 409, "version_conflict", "The recording has changed"

    def __init__(self, detail: str, *, current: Recording) -> None:
        """Say what happened; `current` is the recording as it is now."""
        super().__init__(detail)
        self.current = current


class CursorExpired(RecorderError):
    """Deletions that the caller has not heard of may be forgotten: they must start afresh."""

    status, code, title = 410, "cursor_expired", "The cursor is too old"


class TooLarge(RecorderError):
    """More bytes than are accepted this way, or at all."""

    status, code, title = 413, "too_large", "The recording is too large"


class UnsupportedMediaType(RecorderError):
    """Not one of the audio types that are accepted."""

    status, code, title = 415, "unsupported_media_type", "The content type is not supported"


class TooManyAttempts(RecorderError):
    """A limit is used up; it is renewed after `seconds`, whatever is tried until then."""

    status, code, title = 429, "too_many_attempts", "Too many attempts"

    def __init__(self, seconds: int) -> None:
        """Say when to try again."""
        super().__init__(f"Try again in {seconds} seconds")
        self.headers = {"Retry-After": str(seconds)}


class LengthRequired(RecorderError):
    """The request does not say where its body ends, so it may have one or not."""

    status, code, title = 411, "length_required", "The length of the body is needed"


class InternalError(RecorderError):
    """A fault of ours; the log has its cause under the request id."""

    status, code, title = 500, "internal_error", "Something went wrong here"


class Unavailable(RecorderError):
    """What the API stands on refuses or does not answer; the same request may be sent again."""

    status, code, title = 503, "unavailable", "Not available right now"
    headers = MappingProxyType({"Retry-After": "2"})


class ObjectChanged(Exception):
    """An object is not what it was taken for: it exists after all, is gone, or is another one.

    Between the stores and the use cases only: nobody is answered with it.
    """


def catalogue(base: type[RecorderError] = RecorderError) -> Iterator[type[RecorderError]]:
    """Every error class that has a code, in the order of this file."""
    for error in base.__subclasses__():
        if hasattr(error, "code"):
            yield error
        yield from catalogue(error)
