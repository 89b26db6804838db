"""What IAM asks for each call to AWS: the actions, and the resource of each.

From the services' own tables of actions:
https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.s3.signing import Signer

# Where the tests' policies are, and the calls that they are compared with.
PARTITION, REGION, ACCOUNT = "aws", "us-east-1", "123456789012"

# Of a bucket, or of what is in it.
BUCKET, OBJECT = "arn:aws:s3:::{Bucket}", "arn:aws:s3:::{Bucket}/*"
S3 = {
    "AbortMultipartUpload": [("s3:AbortMultipartUpload", OBJECT)],
    "CompleteMultipartUpload": [("s3:PutObject", OBJECT)],
    "CopyObject": [("s3:PutObject", OBJECT)],
    "CreateMultipartUpload": [("s3:PutObject", OBJECT)],
    "GetObject": [("s3:GetObject", OBJECT)],
    # Without the second, S3 answers 403 where there is nothing, so that nobody can tell.
    "HeadObject": [("s3:GetObject", OBJECT), ("s3:ListBucket", BUCKET)],
    "ListMultipartUploads": [("s3:ListBucketMultipartUploads", BUCKET)],
    "ListObjectVersions": [("s3:ListBucketVersions", BUCKET)],
    "ListObjectsV2": [("s3:ListBucket", BUCKET)],
    "ListParts": [("s3:ListMultipartUploadParts", OBJECT)],
    "PutObject": [("s3:PutObject", OBJECT)],
    "UploadPart": [("s3:PutObject", OBJECT)],
    "UploadPartCopy": [("s3:PutObject", OBJECT)],
}
# The parts of a transaction, and of a batch, need what they would need alone.
DYNAMODB = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}


class Permission(NamedTuple):
    """An action on a resource, as a policy allows it."""

    action: str
    resource: str


class Asked(NamedTuple):
    """A call to AWS, or the signature of one that a phone makes, with its parameters."""

    service: str
    operation: str
    parameters: dict[str, Any]
    signed: bool = False

    @property
    def permissions(self) -> Iterator[Permission]:
        """What it takes."""
        given = self.parameters
        if self.service == "dynamodb":
            yield from _on_the_table(self.operation, given)
        elif self.service == "s3":
            yield from _on_a_bucket(self.operation, given)
        elif self.operation == "PutEvents":
            yield Permission(
                "events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
            )
        elif self.operation == "GetSecretValue":
            yield Permission("secretsmanager:GetSecretValue", given["SecretId"])
        elif self.operation == "SendEmail":
            # One of the two is verified; which, is the operator's affair.
            sender = re.sub(r"^.*<|>$", "", given["FromEmailAddress"])
            for identity in (sender, sender.partition("@")[2]):
                arn = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/{identity}"
                yield Permission("ses:SendEmail", arn)
        else:
            raise AssertionError(f"Say here what {self.operation} takes")


def _on_the_table(operation: str, given: dict[str, Any]) -> Iterator[Permission]:
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/"
    if operation == "TransactWriteItems":
        for write in given["TransactItems"]:
            for kind, parameters in write.items():
                yield Permission(f"dynamodb:{DYNAMODB[kind]}", table + parameters["TableName"])
    elif operation == "BatchGetItem":
        for name in given["RequestItems"]:
            yield Permission("dynamodb:BatchGetItem", table + name)
    else:
        index = f"/index/{given['IndexName']}" if "IndexName" in given else ""
        yield Permission(f"dynamodb:{operation}", table + given["TableName"] + index)


def _on_a_bucket(operation: str, given: dict[str, Any]) -> Iterator[Permission]:
    if operation in {"DeleteObject", "DeleteObjects"}:
        for each in given.get("Delete", {}).get("Objects", [given]):
            version = "Version" if "VersionId" in each else ""
            yield Permission(f"s3:DeleteObject{version}", OBJECT.format(**given))
        return
    for action, resource in S3[operation]:
        yield Permission(action, resource.format(**given))
    if operation in {"CopyObject", "UploadPartCopy"}:
        # botocore has made a path of it.
        source, _, _ = given["CopySource"].partition("/")
        yield Permission("s3:GetObject", OBJECT.format(Bucket=source))


@contextmanager
def recording(clients: Clients, asked: list[Asked]) -> Iterator[None]:
    """Note what is asked of AWS meanwhile, and what is signed for phones to ask."""

    def note(event_name: str, params: dict[str, Any], **_: Any) -> None:
        service, operation = event_name.split(".")[1:]
        asked.append(Asked(service, operation, dict(params)))

    def sign(signing: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        method, bucket = arguments[1:3] if signing.__name__ == "url" else ("PUT", arguments[1])
        asked.append(Asked("s3", f"{method.title()}Object", {"Bucket": bucket}, signed=True))
        return signing(*arguments, **named)

    emitters = [client.meta.events for client in _all(clients)]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("url", "form"):
            method = functools.partialmethod(functools.partial(sign, getattr(Signer, name)))
            patch.setattr(Signer, name, method)
        for emitter in emitters:
            emitter.register_first("before-parameter-build", note)
        yield
        for emitter in emitters:
            emitter.unregister("before-parameter-build", note)


def _all(clients: Clients) -> list[Any]:
    return [
        clients.dynamodb,
        clients.events,
        clients.s3,
        clients.s3_copying,
        clients.s3_copying_long,
        clients.secretsmanager,
        clients.ses,
    ]


def operations(clients: Clients) -> dict[str, str]:
    """Every operation that these clients have, by the method that calls it."""
    methods: dict[str, str] = {}
    for client in _all(clients):
        methods |= client.meta.method_to_api_mapping
    return methods
