"""The leanest handler that does the same: boto3 and PyJWT, and no care for what goes wrong.

Its calls to AWS are its own. What it answers has the app's fields.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import jwt
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

TABLE = os.environ["RECORDER_TABLE"]
UPLOADS, RECORDINGS = (
    os.environ["RECORDER_UPLOADS_BUCKET"],
    os.environ["RECORDER_RECORDINGS_BUCKET"],
)
KEY = os.environ["RECORDER_JWT_KEYS"].partition(":")[2]
SHOWN = [
    "id",
    "file_name",
    "content_type",
    "size",
    "status",
    "created_at",
    "updated_at",
    "version",
    "tags",
    "sha256",
]

dynamodb: Any = boto3.client("dynamodb")
_s3: Any = None
_read, _write = TypeDeserializer().deserialize, TypeSerializer().serialize


def s3() -> Any:
    """The S3 client, made when it is first needed: a list needs none."""
    global _s3  # noqa: PLW0603 - one per process
    if _s3 is None:
        config = Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            s3={"addressing_style": "virtual"},
        )
        _s3 = boto3.client("s3", config=config)
    return _s3


def caller(token: str) -> str:
    """The user of an access token whose account and session stand."""
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_iat": False})
    user = f"USER#{claims['sub']}"
    keys = [{"pk": user, "sk": sk} for sk in ("PROFILE", f"SESSION#{claims['sid']}")]
    asked = {"Keys": [_attributes(key) for key in keys], "ConsistentRead": True}
    answer = dynamodb.batch_get_item(RequestItems={TABLE: asked})
    if len(answer["Responses"][TABLE]) < len(keys):
        raise PermissionError
    return str(claims["sub"])


def list_recordings(user: str, limit: int) -> dict[str, Any]:
    """A page of the shelf of what is ready."""
    answer = dynamodb.query(
        TableName=TABLE,
        IndexName="shelf",
        KeyConditionExpression="pk = :pk AND begins_with(shelf, :shelf)",
        ExpressionAttributeValues=_attributes({":pk": f"USER#{user}", ":shelf": "ready#"}),
        Limit=limit + 1,
        ScanIndexForward=False,
    )
    found = [_shown(item) for item in answer["Items"]]
    following = found[limit - 1]["id"] if len(found) > limit else None
    return {"recordings": found[:limit], "next": following}


def find(user: str, id: str) -> dict[str, Any]:
    """A recording, and where it plays."""
    answer = dynamodb.get_item(TableName=TABLE, Key=_key(user, id), ConsistentRead=True)
    params = {"Bucket": RECORDINGS, "Key": f"{user}/{id}"}
    url = s3().generate_presigned_url("get_object", params, ExpiresIn=900)
    return _shown(answer["Item"]) | {"audio": {"url": url}}


def announce(user: str, new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Recordings to be uploaded, and how."""
    now = datetime.now(UTC).isoformat()
    recordings = [
        each | {"status": "uploading", "version": 1, "tags": [], "created_at": now} for each in new
    ]
    puts = [
        {
            "Put": {
                "TableName": TABLE,
                "Item": _attributes(each) | _key(user, each["id"]),
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }
        for each in recordings
    ]
    usage = {
        "TableName": TABLE,
        "Key": _attributes({"pk": f"USER#{user}", "sk": "PROFILE"}),
        "UpdateExpression": "ADD bytes_used :size",
        "ConditionExpression": "bytes_used <= :room",
        "ExpressionAttributeValues": _attributes(
            {":size": sum(each["size"] for each in new), ":room": 10**10}
        ),
    }
    dynamodb.transact_write_items(TransactItems=[*puts, {"Update": usage}])
    return [
        {"recording": each, "upload": {"method": "put", "url": _upload_url(user, each)}}
        for each in recordings
    ]


def complete(user: str, id: str) -> dict[str, Any]:
    """Copy what was uploaded to where it stays, and mark it ready."""
    key = f"{user}/{id}"
    dynamodb.get_item(TableName=TABLE, Key=_key(user, id), ConsistentRead=True)
    uploaded = s3().head_object(Bucket=UPLOADS, Key=key)
    s3().copy_object(
        Bucket=RECORDINGS,
        Key=key,
        CopySource={"Bucket": UPLOADS, "Key": key},
        CopySourceIfMatch=uploaded["ETag"],
        IfNoneMatch="*",
        ChecksumAlgorithm="SHA256",
    )
    ready = _ready(user, id)
    s3().delete_object(Bucket=UPLOADS, Key=key)
    return ready


def receive(user: str, id: str, body: bytes) -> dict[str, Any]:
    """Keep a small recording."""
    announce(user, [{"id": id, "size": len(body), "content_type": "audio/mp4"}])
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    s3().put_object(
        Bucket=RECORDINGS, Key=f"{user}/{id}", Body=body, ChecksumSHA256=checksum, IfNoneMatch="*"
    )
    return _ready(user, id)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """What Lambda calls."""
    user = caller(event["headers"]["Authorization"].partition(" ")[2])
    path, method, body = event["path"].split("/")[2:], event["httpMethod"], event["body"]
    match method, path:
        case "GET", []:
            answer: Any = list_recordings(user, int(event["queryStringParameters"]["limit"]))
        case "GET", [id]:
            answer = find(user, id)
        case "POST", []:
            [answer] = announce(user, [json.loads(body)])
        case "POST", ["batch"]:
            answer = {"recordings": announce(user, json.loads(body)["recordings"])}
        case "POST", [id, "complete"]:
            answer = complete(user, id)
        case _, [id, _]:
            answer = receive(user, id, base64.b64decode(body))
    headers = {"Content-Type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": json.dumps(answer, default=str)}


def _upload_url(user: str, recording: dict[str, Any]) -> str:
    params = {
        "Bucket": UPLOADS,
        "Key": f"{user}/{recording['id']}",
        "ContentType": recording["content_type"],
        "ContentLength": recording["size"],
    }
    lasts = int(timedelta(hours=1).total_seconds())
    return str(s3().generate_presigned_url("put_object", params, ExpiresIn=lasts))


def _ready(user: str, id: str) -> dict[str, Any]:
    answer = dynamodb.update_item(
        TableName=TABLE,
        Key=_key(user, id),
        UpdateExpression="SET #status = :ready",
        ConditionExpression="#status = :uploading",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues=_attributes({":ready": "ready", ":uploading": "uploading"}),
        ReturnValues="ALL_NEW",
    )
    return _shown(answer["Attributes"])


def _key(user: str, id: str) -> Any:
    return _attributes({"pk": f"USER#{user}", "sk": f"REC#{id}"})


def _attributes(item: dict[str, Any]) -> Any:
    return {name: _write(value) for name, value in item.items()}


def _shown(attributes: Any) -> dict[str, Any]:
    return {name: _read(attributes[name]) for name in SHOWN if name in attributes}
