"""S3: ministack's, mended, and with what it holds on the disk.

tests/local/test_embedded_s3.py says what S3 refuses and answers, rule by rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, SubElement

from local.embedded import lifecycle, signatures
from local.embedded.disk import Blob, Disk
from local.embedded.engine import s3 as engine
from local.embedded.http import Answer, Request, finished
from local.embedded.mended import MENDED, Object

Key: TypeAlias = tuple[str, str]

# The names under which ministack has an object's bytes, and a version's.
BYTES = ("body", "data")

LONG_AGO = datetime.min.replace(tzinfo=UTC)
ORIGINAL = {
    name: getattr(engine, name)
    for name in ("_dispatch", "_fire_s3_event_async", "_read_body", "_version_body", *MENDED)
}


class Part(dict[str, Any]):
    """A part whose bytes are on the disk; ministack asks for them by item alone."""

    disk: Disk

    def __missing__(self, name: str) -> bytes | Blob:
        if name != "body":
            raise KeyError(name)
        return self.disk.read(self["blob"])


class S3:
    """The S3 of this process: ministack keeps one."""

    def __init__(self, secret: str, disk: Disk | None, arrived: Callable[[Object], None]) -> None:
        """`disk` None is memory alone; `arrived` is told of each object that was created."""
        self._secret = secret
        self._disk = disk
        self._arrived = arrived
        self._lock = Lock()
        self._touched: dict[Key, None] = {}
        self._events: list[Object] = []
        self._lifecycles: dict[str, list[Object]] = {}
        for name, ours in (MENDED | self._hooks()).items():
            setattr(engine, name, ours)

    def make_bucket(self, properties: dict[str, Any]) -> str:
        """Make a bucket as the template has it; its name."""
        name = str(properties["BucketName"])
        engine._create_bucket(name, b"", {})
        if versioning := properties.get("VersioningConfiguration"):
            engine._put_bucket_versioning(name, _xml("VersioningConfiguration", versioning))
        rules = Element("CORSConfiguration")
        for rule in properties["CorsConfiguration"]["CorsRules"]:
            made = SubElement(rules, "CORSRule")
            for field, of_rule in CORS_FIELDS.items():
                values = rule.get(field, [])
                for value in values if isinstance(values, list) else [values]:
                    SubElement(made, of_rule).text = str(value)
        engine._put_bucket_cors(name, engine._xml_body(rules))
        self._lifecycles[name] = properties["LifecycleConfiguration"]["Rules"]
        return name

    def load(self) -> None:
        """Take what is on the disk."""
        for key, row in self._disk.rows("object") if self._disk else ():
            bucket, name = json.loads(key)
            if row["current"]:
                engine._buckets[bucket]["objects"][name] = row["current"]
            if row["versions"]:
                engine._object_versions[bucket, name] = row["versions"]
            for upload_id, upload in row["uploads"].items():
                parts = upload["parts"].items()
                upload["parts"] = {int(number): self._part(part) for number, part in parts}
                engine._multipart_uploads[upload_id] = upload

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        bucket, _, key = request.path.lstrip("/").partition("/")
        if request.method == "OPTIONS":
            preflight: Answer = engine.cors_preflight(bucket, key, request.headers)
            return preflight
        refusal = signatures.refusal_of_s3(request, self._secret)
        if refusal:
            answer: Answer = engine._error(
                refusal.code, refusal.message, refusal.status, request.path
            )
        else:
            answer = self._do(request)
        status, headers, body = answer
        return status, {**headers, **self._cors(bucket, request)}, body

    def expire(self, now: datetime) -> None:
        """Remove what the buckets' lifecycles are over for."""
        with self._lock:
            for bucket, rules in self._lifecycles.items():
                objects = engine._buckets[bucket]["objects"]
                for key in list(lifecycle.expired(rules, objects, now)):
                    engine._delete_object(bucket, key)
                uploads = {
                    id: each
                    for id, each in engine._multipart_uploads.items()
                    if each["bucket"] == bucket
                }
                for upload_id in list(lifecycle.abandoned(rules, uploads, now)):
                    key = engine._multipart_uploads.pop(upload_id)["key"]
                    self._touched[bucket, key] = None
                for (held, key), versions in list(engine._object_versions.items()):
                    of_here = versions if held == bucket else []
                    for version in list(lifecycle.replaced(rules, of_here, now)):
                        engine._delete_object(bucket, key, {}, {"versionId": version})
            self._save()

    def events_of(self, bucket: str, since: datetime = LONG_AGO) -> list[Object]:
        """The events of all that is in a bucket and came since then, as if it came now."""
        with self._lock:
            objects = list(engine._buckets[bucket]["objects"].items())
        return [
            _created(bucket, key, each["etag"])
            for key, each in objects
            if datetime.fromisoformat(each["last_modified"]) >= since
        ]

    def forget(self) -> None:
        """Forget all that is in memory, and be ministack's as it was."""
        engine.reset()
        for name, original in ORIGINAL.items():
            setattr(engine, name, original)

    def _do(self, request: Request) -> Answer:
        headers = dict(request.headers)
        if not _is_one_range(headers.get("range", "")):
            # S3 makes nothing of what is none, or several: the answer is the whole.
            headers.pop("range", None)
        with self._lock:
            answer = finished(
                engine.handle_request(
                    request.method,
                    request.path,
                    headers,
                    request.body,
                    request.query,
                    internal=True,
                )
            )
            self._save()
            events, self._events = self._events, []
        for event in events:
            self._arrived(event)
        return answer

    def _cors(self, bucket: str, request: Request) -> dict[str, str]:
        headers: dict[str, str] = engine.cors_response_headers(
            bucket, request.method, request.headers
        )
        return headers

    # On the disk

    def _save(self) -> None:
        touched, self._touched = self._touched, {}
        if not self._disk:
            return
        kept: dict[int, str] = {}
        self._disk.save(
            "object", {json.dumps(key): self._row(key, self._disk, kept) for key in touched}
        )

    def _row(self, key: Key, disk: Disk, kept: dict[int, str]) -> Object | None:
        """All there is under a key, with its bytes on the disk rather than in memory."""
        bucket, name = key
        current = engine._buckets[bucket]["objects"].get(name)
        versions = engine._object_versions.get(key, [])
        uploads = {
            upload_id: upload
            for upload_id, upload in engine._multipart_uploads.items()
            if (upload["bucket"], upload["key"]) == key
        }
        for upload in uploads.values():
            upload["parts"] = {
                number: part if isinstance(part, Part) else self._part(_put_down(part, disk, kept))
                for number, part in upload["parts"].items()
            }
        for each in [current, *versions]:
            if each:
                _put_down(each, disk, kept)
        if not current and not versions and not uploads:
            return None
        return {"current": current, "versions": versions, "uploads": uploads}

    def _part(self, part: Object) -> Part:
        """A part whose bytes are read when they are asked for."""
        lazy = Part({name: value for name, value in part.items() if name != "body"})
        if self._disk:
            lazy.disk = self._disk
        return lazy

    # In ministack's place

    def _hooks(self) -> dict[str, Callable[..., Any]]:
        """What stands in for ministack's own, to keep what it makes and to find it again."""
        return {
            "_dispatch": self._dispatch,
            "_fire_s3_event_async": self._note_event,
            "_read_body": lambda *of: self._bytes_of(of[-1], "body"),
            "_version_body": lambda *of: self._bytes_of(of[-1], "data"),
        }

    def _dispatch(self, method: str, bucket: str, key: str, *rest: Any) -> Answer:
        if key and method not in {"GET", "HEAD"} and bucket in engine._buckets:
            self._touched[bucket, key] = None
        answer: Answer = ORIGINAL["_dispatch"](method, bucket, key, *rest)
        return answer

    def _note_event(self, bucket: str, key: str, name: str, **about: Any) -> None:
        """Whatever creates or removes an object says so."""
        self._touched[bucket, key] = None
        if name.startswith("s3:ObjectCreated:"):
            self._events.append(_created(bucket, key, about["etag"]))

    def _bytes_of(self, each: Object, name: str) -> bytes | Blob:
        held: bytes | Blob | None = each.get(name)
        if held is None and self._disk and "blob" in each:
            return self._disk.read(each["blob"])
        return held or b""


def _is_one_range(value: str) -> bool:
    said = re.fullmatch(r"bytes=(?:([0-9]+)-([0-9]*)|-[0-9]+)", value.strip(), re.ASCII)
    return said is not None and (not said[2] or int(said[1]) <= int(said[2]))


def _created(bucket: str, key: str, etag: str) -> Object:
    """S3's event as EventBridge hands it on, as far as the app looks at it."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "etag": etag.strip('"')}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def _put_down(each: Object, disk: Disk, kept: dict[int, str]) -> Object:
    """Move the bytes of an object, a version or a part to the disk, the same ones once."""
    for name in BYTES:
        data = each.get(name)
        if data is not None:
            if id(data) not in kept:
                kept[id(data)] = disk.keep(data)
            each |= {"blob": kept[id(data)], name: None}
    return each


def _xml(name: str, values: dict[str, str]) -> bytes:
    root = Element(name)
    for field, value in values.items():
        SubElement(root, field).text = value
    text: bytes = engine._xml_body(root)
    return text


# CloudFormation's names, and S3's.
CORS_FIELDS = {
    "AllowedOrigins": "AllowedOrigin",
    "AllowedMethods": "AllowedMethod",
    "AllowedHeaders": "AllowedHeader",
    "ExposedHeaders": "ExposeHeader",
    "MaxAge": "MaxAgeSeconds",
}
