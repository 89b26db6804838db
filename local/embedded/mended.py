"""What is mended of ministack's S3, where it does otherwise than S3 does with the same request.

Each function takes the place of ministack's own of that name, which it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, TypeAlias
from xml.etree.ElementTree import SubElement, fromstring

from local.embedded import signatures
from local.embedded.engine import s3 as engine
from local.embedded.http import Answer
from local.embedded.signatures import Refusal

Object: TypeAlias = dict[str, Any]

# What S3 asks of every part but the last.
LEAST_PART_BYTES = 5 * 1024 * 1024
NO_PARTS = Refusal(
    400,
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
)
NOT_IN_ORDER = Refusal(
    400,
    "InvalidPartOrder",
    "The list of parts was not in ascending order. Parts must be ordered by part number.",
)
TOO_SMALL = Refusal(
    400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"
)
# Nothing in a key comes after it.
LAST = "\U0010ffff"
POLICY_ALONE = Refusal(
    400,
    "InvalidArgument",
    "Bucket POST must contain a field named 'x-amz-algorithm'.  If it is specified, please check "
    "the order of the fields.",
)
# A form with some of these is signed; ministack says which are missing.
SIGNING_FIELDS = {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
ORIGINAL: dict[str, Callable[..., Any]] = {
    name: getattr(engine, name)
    for name in (
        "_build_object_record",
        "_complete_multipart_upload",
        "_copy_object",
        "_list_object_versions",
        "_object_record_from_version",
        "_post_object",
        "_version_entry_from_record",
    )
}
# The fields of the form that is being read.
_form: ContextVar[dict[str, str] | None] = ContextVar("form", default=None)


class Refused(Exception):
    """A request is refused amid ministack's work on it, which has changed nothing yet."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def _build_object_record(
    body: bytes, headers: dict[str, str], etag: str | None = None, checksums: Any = None
) -> Object:
    """An object that comes by a form has the checksum that the form names."""
    form = _form.get()
    if form is not None:
        checksums, refused = engine._resolve_object_checksums(body, form)
        if refused:
            raise Refused(refused)
    record: Object = ORIGINAL["_build_object_record"](body, headers, etag, checksums)
    return record


def _post_object(bucket: str, body: bytes, headers: dict[str, str]) -> Answer:
    """A form is signed, or refused; what it made is where it was sent to."""
    parts = engine._parse_multipart_form(headers.get("content-type", ""), body)
    fields = {name.lower(): value for name, _, _, value in parts if name != "file"}
    if parts and not SIGNING_FIELDS & fields.keys():
        refusal = POLICY_ALONE if "policy" in fields else signatures.NOBODY
        return _error(refusal, f"/{bucket}")
    token = _form.set({name: value.decode("utf-8", "replace") for name, value in fields.items()})
    try:
        answer: Answer = ORIGINAL["_post_object"](bucket, body, headers)
    except Refused as refused:
        answer = refused.answer
    finally:
        _form.reset(token)
    status, answered, content = answer
    if (location := answered.get("Location")) and isinstance(content, bytes):
        elsewhere, here = f"http://{bucket}.s3.amazonaws.com", f"http://{headers['host']}/{bucket}"
        answered = {**answered, "Location": location.replace(elsewhere, here, 1)}
        content = content.replace(elsewhere.encode(), here.encode(), 1)
    return status, answered, content


def _copy_object(bucket: str, key: str, headers: dict[str, str | None]) -> Answer:
    """A copy goes nowhere where If-None-Match forbids it, and is hashed as it was asked to be.

    With other metadata than its source it has no encoding of its source's either.
    """
    objects = engine._buckets[bucket]["objects"]
    if refused := engine._check_put_preconditions(headers, objects.get(key)):
        answer: Answer = refused
        return answer
    if algorithm := headers.get("x-amz-checksum-algorithm"):
        headers = {**headers, "x-amz-sdk-checksum-algorithm": algorithm}
    if str(headers.get("x-amz-metadata-directive")).upper() == "REPLACE":
        # What is there with no value is not taken from the source.
        headers = {"content-encoding": None, **headers}
    status, answered, body = ORIGINAL["_copy_object"](bucket, key, headers)
    if status == HTTPStatus.OK:
        result = fromstring(body)  # noqa: S314 - it is ministack's own
        for name, value in objects[key]["checksums"].items():
            SubElement(result, f"Checksum{name}").text = value
        body = engine._xml_body(result)
    return status, answered, body


def _complete_multipart_upload(
    bucket: str, key: str, body: bytes, query: dict[str, list[str]], headers: dict[str, str]
) -> Answer:
    """Parts are named in their order, and each but the last has the least size."""
    upload = engine._multipart_uploads.get(query["uploadId"][0], {"parts": {}})
    named = _parts_named(body)
    found = [upload["parts"][number] for number in named if number in upload["parts"]]
    where = f"/{bucket}/{key}"
    if not named:
        return _error(NO_PARTS, where)
    if named != sorted(set(named)):
        return _error(NOT_IN_ORDER, where)
    if any(part["size"] < LEAST_PART_BYTES for part in found[:-1]):
        return _error(TOO_SMALL, where)
    answer: Answer = ORIGINAL["_complete_multipart_upload"](bucket, key, body, query, headers)
    return answer


def _list_object_versions(bucket: str, query: dict[str, list[str]]) -> Answer:
    """A page after one that ended with a group of keys goes on after all of that group.

    ministack lists groups before keys, and no folder of ours has both.
    """
    [delimiter], [marker] = query.get("delimiter", [""]), query.get("key-marker", [""])
    if delimiter and marker.endswith(delimiter):
        query = {**query, "key-marker": [marker + LAST], "version-id-marker": [""]}
    answer: Answer = ORIGINAL["_list_object_versions"](bucket, query)
    return answer


def _version_entry_from_record(record: Object, version_id: str, data: Any) -> Object:
    """A version keeps of what its checksum is one: of the whole, or of the parts' checksums."""
    entry: Object = ORIGINAL["_version_entry_from_record"](record, version_id, data)
    return entry | {"checksum_type": record.get("checksum_type")}


def _object_record_from_version(version: Object) -> Object:
    """A version that is read tells what its checksum is one of."""
    record: Object = ORIGINAL["_object_record_from_version"](version)
    return record | {"checksum_type": version.get("checksum_type")}


def _parts_named(body: bytes) -> list[int]:
    """The numbers of the parts that a request to complete names; none of what is no XML."""
    try:
        root = engine.fromstring(bytes(body))
        return [int(each.text or "") for each in root.iter() if each.tag.endswith("PartNumber")]
    except (engine.ParseError, ValueError):
        return []


def _error(refusal: Refusal, resource: str) -> Answer:
    answer: Answer = engine._error(refusal.code, refusal.message, refusal.status, resource)
    return answer


MENDED: dict[str, Callable[..., Any]] = {
    "_build_object_record": _build_object_record,
    "_complete_multipart_upload": _complete_multipart_upload,
    "_copy_object": _copy_object,
    "_list_object_versions": _list_object_versions,
    "_object_record_from_version": _object_record_from_version,
    "_post_object": _post_object,
    "_version_entry_from_record": _version_entry_from_record,
}
