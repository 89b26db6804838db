"""Signing for Fine Uploader 5.16.2 in S3 mode, signature version 4: exactly what it asks for.

It describes what it is about to send to S3, and has that signed: a form's policy, or one request of
an upload in parts. Whatever else is described is refused, and what is signed says no more than one
upload of the caller's may need. What arrived so is judged by its completion, as anything else is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from chalicelib.core.ports import BrowserSigner, Clock, RecordingStore
from chalicelib.core.recordings.sending import Sending
from chalicelib.core.recordings.slices import LEAST_PART
from chalicelib.errors import InvalidRequest, NotFound
from chalicelib.models import forms, media_types
from chalicelib.models.answers import Signature
from chalicelib.models.entities import Keyed, SigningPlace, StoredRecording
from chalicelib.models.fields import LARGEST_INTEGER
from chalicelib.models.requests import ToSign

ALGORITHM = "AWS4-HMAC-SHA256"
# What S3 allows a client's clock to be off.
SKEW = timedelta(minutes=15)
POLICY_LIFE = timedelta(minutes=5)
# How often each part, and each of the three requests about all of them, may be signed: a part that
# is lost is signed again, and what a part may hold no signature says.
TIMES_SIGNED = 4
OF_THE_WHOLE = 3
ACL = "private"

# A form's fields, each a condition of its policy.
TYPE, NAME = "Content-Type", "x-amz-meta-qqfilename"
FIELDS = {
    *("acl", "bucket", TYPE, "success_action_status", "key", NAME),
    *("x-amz-algorithm", "x-amz-credential", "x-amz-date"),
}
RANGE = "content-length-range"

EMPTY = hashlib.sha256(b"").hexdigest()
_UPLOAD = r"uploadId=[A-Za-z0-9._~%-]{1,1024}"
_HEADERS = ("host", "x-amz-content-sha256", "x-amz-date")
_BEGINNING = ("host", "x-amz-acl", "x-amz-content-sha256", "x-amz-date", NAME)
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,16}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# What encodeURIComponent leaves of a name; S3 keeps 2 kB of metadata.
_ENCODED = re.compile(r"[A-Za-z0-9_.!~*'()%-]{1,1900}", re.ASCII)


class Shape(Struct, frozen=True):
    """One of the requests of an upload in parts."""

    method: str
    query: str
    headers: tuple[str, ...] = _HEADERS
    has_body: bool = True


SHAPES = (
    Shape("POST", r"uploads=", _BEGINNING, has_body=False),
    Shape("PUT", rf"partNumber=([1-9][0-9]{{0,4}})&{_UPLOAD}"),
    Shape("POST", _UPLOAD),
    Shape("DELETE", _UPLOAD, has_body=False),
)


class Described(Struct, frozen=True):
    """A request as it was described: the parts of what is signed (Signature Version 4)."""

    date: str
    scope: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    content: str

    @classmethod
    def read(cls, text: str) -> Described:
        """The request that a text describes; InvalidRequest when it is written in another way."""
        lines = text.split("\n")
        if len(lines) < len(_HEADERS) + 9 or lines[0] != ALGORITHM or lines[-3] != "":
            raise _refused("It is no request as Signature Version 4 describes it", "headers")
        named = [line.partition(":") for line in lines[6:-3]]
        headers = {name: value for name, _, value in named}
        if lines[-2] != ";".join(name for name, _, _ in named) or len(headers) != len(named):
            raise _refused("Its headers are not those that are signed", "headers")
        date, scope, method, path, query = lines[1:6]
        return cls(date, scope, method, path, query, headers, lines[-1])

    @property
    def number(self) -> int:
        """Which part it sends; 0 for what is about all of them."""
        found = re.match(r"partNumber=([0-9]+)", self.query)
        return int(found[1]) if found else 0

    def check(self, place: SigningPlace, now: datetime) -> None:
        """InvalidRequest unless it is of one of SHAPES, and goes to this place now."""
        shape = next((each for each in SHAPES if self._is(each)), None)
        if shape is None:
            raise _refused("No such request is part of an upload", "headers")
        _check_date(self.date, now, "headers")
        if self.scope != place.scope(self.date):
            raise _refused("Another day, region or service", "headers")
        headers = self.headers
        if headers["host"] not in place.hosts or headers["x-amz-date"] != self.date:
            raise _refused("Another host, or two dates", "headers")
        if not self.path.startswith("/"):
            raise _refused("Not a path", "headers")
        hashes = headers["x-amz-content-sha256"], self.content
        if len({*hashes}) != 1 or not _SHA256.fullmatch(self.content):
            raise _refused("Two hashes of its content, or none", "headers")
        if not shape.has_body and self.content != EMPTY:
            raise _refused("It has no content", "headers")
        if headers.get("x-amz-acl", ACL) != ACL or not _ENCODED.fullmatch(headers.get(NAME, "x")):
            raise _refused("Another access or name", "headers")

    def to_sign(self, place: SigningPlace, key: str) -> str:
        """What is signed of it, with its bucket where this place has it."""
        headers = self.headers | {"host": place.netloc}
        canonical = "\n".join(
            (
                *(self.method, f"{place.path}/{key}", self.query),
                *(f"{name}:{value}" for name, value in headers.items()),
                *("", ";".join(headers), self.content),
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        return "\n".join((ALGORITHM, self.date, self.scope, digest))

    def _is(self, shape: Shape) -> bool:
        alike = (self.method, tuple(self.headers)) == (shape.method, shape.headers)
        return alike and re.fullmatch(shape.query, self.query, re.ASCII) is not None


class Browsers(Struct, frozen=True):
    """The use case of upload libraries that have each request to S3 signed."""

    recordings: RecordingStore
    signer: BrowserSigner
    sending: Sending
    clock: Clock

    def sign(self, user_id: str, asked: ToSign) -> Signature:
        """A signature for a form or for a request of an upload in parts.

        InvalidRequest for what is not exactly what is sent of an upload of the caller's that is
        under way; NotFound where nothing is set up to sign with.
        """
        if (
            asked.headers is UNSET
            and asked.expiration is not UNSET
            and asked.conditions is not UNSET
        ):
            return self._policy(user_id, asked.expiration, asked.conditions)
        if asked.headers is not UNSET and asked.expiration is asked.conditions is UNSET:
            return self._request(user_id, asked.headers)
        raise _refused("It is neither a policy nor a request", "body")

    def _policy(self, user_id: str, end: str, conditions: list[Any]) -> Signature:
        now = self.clock()
        said, least, most = _conditions(conditions)
        date = said["x-amz-date"]
        _check_date(date, now, "conditions")
        _check_end(end, now)
        place = self._place(said["x-amz-credential"].partition("/")[0])
        expected = {
            "acl": ACL,
            "bucket": place.bucket,
            "success_action_status": "200",
            "x-amz-algorithm": ALGORITHM,
            "x-amz-credential": f"{place.access_key}/{place.scope(date)}",
        }
        if wrong := [name for name, value in expected.items() if said[name] != value]:
            raise _refused(f"Another {wrong[0]}", "conditions")
        recording = self._under_way(user_id, said["key"], "conditions")
        if not media_types.same(said[TYPE], recording.content_type):
            raise _refused(f"Another type than {recording.content_type}", "conditions")
        if not least <= recording.size <= most:
            raise _refused(f"Not the {recording.size} bytes that were announced", "conditions")
        self.sending.prolonged(recording, 0.5)
        policy = {
            "expiration": f"{now + POLICY_LIFE:%Y-%m-%dT%H:%M:%SZ}",
            "conditions": [
                *({name: value} for name, value in said.items()),
                [RANGE, recording.size, recording.size],
            ],
        }
        encoded = base64.b64encode(msgspec.json.encode(policy)).decode()
        return Signature(policy=encoded, signature=place.sign(encoded, place.scope(date)))

    def _request(self, user_id: str, text: str) -> Signature:
        described = Described.read(text)
        place = self._place()
        described.check(place, self.clock())
        key = described.path.removeprefix(place.path).removeprefix("/")
        recording = self._under_way(user_id, key, "headers")
        parts = -(-recording.size // LEAST_PART)
        if described.number > parts:
            raise _refused(f"It has {parts} parts at most", "headers")
        times = TIMES_SIGNED * (parts + OF_THE_WHOLE)
        if not self.recordings.count_signature(self.sending.prolonged(recording, 0.5), times):
            raise _refused("It was signed too often; announce it anew, with another id", "headers")
        return Signature(signature=place.sign(described.to_sign(place, key), described.scope))

    def _place(self, access_key: str | None = None) -> SigningPlace:
        place = self.signer.place(access_key)
        if place is None:
            raise NotFound("This service signs for no upload library")
        return place

    def _under_way(self, user_id: str, key: str, field: str) -> StoredRecording:
        named = Keyed.at(key)
        found = None
        if named and named.user_id == user_id:
            found = self.recordings.find(user_id, named.id)
        under_way = isinstance(found, StoredRecording) and found.status == "uploading"
        if not isinstance(found, StoredRecording) or not under_way or found.key != key:
            raise _refused("The key is that of no upload of yours that is under way", field)
        if found.in_pieces:
            raise _refused("The upload is sent in pieces", field)
        return found


def _conditions(conditions: list[Any]) -> tuple[dict[str, str], int, int]:
    """The fields of a policy, in their order, and the sizes that it allows.

    InvalidRequest unless each of FIELDS is there once, and nothing else.
    """
    said: dict[str, str] = {}
    ranges: list[list[Any]] = []
    for condition in conditions:
        match condition:
            case list():
                ranges.append(condition)
            case dict() if len(condition) == 1 and not said.keys() & condition.keys():
                said |= condition
            case _:
                raise _refused("A condition has one name, and each stands once", "conditions")
    # Each of FIELDS once, and a text.
    if said.keys() != FIELDS or len(ranges) > 1 or {*map(type, said.values())} != {str}:
        raise _refused("Not exactly the conditions that are sent", "conditions")
    if not _ENCODED.fullmatch(said[NAME]) or not media_types.bare(said[TYPE]):
        raise _refused("Not a name, or not a type", "conditions")
    return said, *_sizes(ranges[0] if ranges else [RANGE, 0, LARGEST_INTEGER])


def _sizes(allowed: list[Any]) -> tuple[int, int]:
    # It writes its numbers as texts.
    if len(allowed) != len([RANGE, 0, 0]) or allowed[0] != RANGE:
        raise _refused("Not exactly the conditions that are sent", "conditions")
    least, most = (str(size) for size in allowed[1:])
    if not (_SIZE.fullmatch(least) and _SIZE.fullmatch(most)):
        raise _refused("Not a range of sizes", "conditions")
    return int(least), int(most)


def _check_date(date: str, now: datetime, field: str) -> None:
    try:
        # A strict form first: strptime takes more than one.
        at = datetime.strptime(date if _DATE.fullmatch(date) else "", "%Y%m%dT%H%M%S%z")
    except ValueError as error:
        raise _refused("Not a date", field) from error
    if abs(at - now) >= SKEW:
        raise _refused("Its date is too far off; set the clock", field)


def _check_end(end: str, now: datetime) -> None:
    try:
        over = forms.instant(end) <= now - SKEW
    except ValueError as error:
        raise _refused("Not a time", "expiration") from error
    if over:
        raise _refused("It is over", "expiration")


def _refused(why: str, field: str) -> InvalidRequest:
    return InvalidRequest(why, field=field)
