"""AWS, replayed: every call is answered at once with what AWS would say, and counted.

Nothing of the app is used, so that what is measured beside it needs nothing of it. Answers are as
AWS writes them: of an item just what was asked for.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

USER = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b"
SESSION = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0c"
READY, SENT, NEW = (f"019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a1{end}" for end in "abc")
SOUND = b"s" * 1_000_000
TIME, LATER = "2026-11-28T20:51:39.000000Z", "2036-11-28T20:51:39.000000Z"
XML = '<?xml version="1.0" encoding="UTF-8"?>'
COPIED = f"{XML}<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>"
DELETED = f"{XML}<DeleteResult></DeleteResult>"

calls: Counter[str] = Counter()


def recording(id: str, status: str) -> dict[str, Any]:
    """A recording as the table holds it."""
    fields = {
        "pk": f"USER#{USER}",
        "sk": f"REC#{id}",
        "id": id,
        "user_id": USER,
        "file_name": "A walk along the river, with birds.m4a",
        "content_type": "audio/mp4",
        "status": status,
        "shelf": f"{status}#{id}",
        "changes": f"{TIME}#{id}",
        "created_at": TIME,
        "updated_at": TIME,
        "completed_at": TIME,
        "fingerprint": "f" * 64,
        "sha256": "a" * 64,
        "upload_method": "put",
        "notes": "What was said about the bridge, and by whom.",
    }
    if status == "uploading":
        del fields["completed_at"], fields["sha256"]
        fields |= {"upload_expires_at": LATER, "due_at": LATER, "due_shard": "DUE#1"}
    item: dict[str, Any] = {name: {"S": value} for name, value in fields.items()}
    item |= {"size": {"N": str(len(SOUND))}, "version": {"N": "2"}, "begun_again": {"BOOL": False}}
    return item | {"tags": {"L": [{"S": "birds"}, {"S": "river"}]}}


ACCOUNT: dict[str, Any] = {
    name: {"S": value}
    for name, value in {
        "pk": f"USER#{USER}",
        "sk": "PROFILE",
        "id": USER,
        "email": "ann@example.com",
        "password_hash": "$2b$12$" + "x" * 53,
        "created_at": TIME,
    }.items()
} | {name: {"N": "0"} for name in ("bytes_used", "recordings_used", "password_version")}
LOGGED_IN: dict[str, Any] = {
    name: {"S": value}
    for name, value in {
        "pk": f"USER#{USER}",
        "sk": f"SESSION#{SESSION}",
        "id": SESSION,
        "user_id": USER,
        "refresh_hash": "h" * 64,
        "token_key": "k" * 43,
        "created_at": TIME,
        "last_used_at": TIME,
        "expires_at": LATER,
    }.items()
} | {"password_version": {"N": "0"}}
ITEMS = {
    item["sk"]["S"]: item
    for item in (ACCOUNT, LOGGED_IN, recording(READY, "ready"), recording(SENT, "uploading"))
}
SHELF = [recording(f"019a8f3e-7c1d-7f00-8a3b-5c6d7e8f{n:04x}", "ready") for n in range(51)]


def begin() -> None:
    """Answer whatever this process asks of AWS from now on."""
    sessions: Any = URLLib3Session
    sessions.send = lambda _session, request: _answer(request)


def _answer(request: AWSPreparedRequest) -> AWSResponse:
    target = request.headers.get("X-Amz-Target")
    if target:
        name = (target.decode() if isinstance(target, bytes) else target).partition(".")[2]
        body: Any = request.body
        asked = json.loads(body)
        status, text = 200, json.dumps(_of_items(name, asked))
        headers: dict[str, str] = {}
    else:
        name, status, headers, text = _of_objects(request)
    calls[name] += 1
    named = HTTPHeaders.from_dict({"Content-Length": str(len(text))} | headers)
    return AWSResponse(request.url, status, named, _Raw(text.encode()))


def _of_items(name: str, asked: Any) -> Any:
    match name:
        case "BatchGetItem":
            [(table, wanted)] = asked["RequestItems"].items()
            found = [ITEMS.get(key["sk"]["S"]) for key in wanted["Keys"]]
            return {"Responses": {table: [item for item in found if item]}, "UnprocessedKeys": {}}
        case "GetItem":
            return {"Item": ITEMS[asked["Key"]["sk"]["S"]]}
        case "Query":
            page = SHELF[: asked["Limit"]]
            if "ProjectionExpression" in asked:
                named = asked["ExpressionAttributeNames"]
                wanted = {named[each] for each in asked["ProjectionExpression"].split(", ")}
                page = [{k: v for k, v in item.items() if k in wanted} for item in page]
            return {"Items": page, "Count": len(page), "ScannedCount": len(page)}
        case "UpdateItem":
            return {"Attributes": recording(asked["Key"]["sk"]["S"][4:], "ready")}
    return {}


def _of_objects(request: AWSPreparedRequest) -> tuple[str, int, dict[str, str], str]:
    etag = {"ETag": '"e"', "x-amz-version-id": "v"}
    if request.method == "HEAD":
        if "recordings" in request.url:
            return "HeadObject", 404, {}, ""
        size = {"Content-Length": str(len(SOUND)), "Content-Type": "audio/mp4"}
        return "HeadObject", 200, etag | size, ""
    if "x-amz-copy-source" in request.headers:
        return "CopyObject", 200, etag, COPIED
    if request.method == "POST":
        return "DeleteObjects", 200, {}, DELETED
    return (
        ("PutObject", 200, etag, "") if request.method == "PUT" else ("DeleteObject", 204, {}, "")
    )


class _Raw(io.BytesIO):
    """The bytes of an answer, as botocore reads them."""

    def stream(self, **_: object) -> Any:
        while chunk := self.read(65_536):
            yield chunk

    def release_conn(self) -> None:
        """There is no connection."""


if __name__ == "__main__":
    sys.exit("Imported by benchmarks/subject.py")
