"""What each function may do on AWS: the one source for `chalice deploy` and for a package.

A function is named as Chalice names it. Resources are written as CloudFormation's Fn::Sub takes
them, with the logical ids of template.yaml. tests/ops/test_policies.py compares this with every
call that every route and job makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any

# Chalice's name of the app, which begins the name of all that is made for a stage.
APP = "recorder"
TABLE = "${Table.Arn}"
SHELF, CHANGES, DUE = (f"{TABLE}/index/{name}" for name in ("shelf", "changes", "due"))
UPLOADS, RECORDINGS = "${UploadsBucket.Arn}", "${RecordingsBucket.Arn}"
# Keys are `<user>/<recording>`: which ones a function will need nobody knows beforehand.
UPLOAD, RECORDING = f"{UPLOADS}/*", f"{RECORDINGS}/*"
KEYS = "${JwtSecret}"
UPLOAD_KEY = "${UploadKeySecret}"
DEAD_LETTERS = "${DeadLetters.Arn}"
HERE = "${AWS::Region}:${AWS::AccountId}"
BUS = f"arn:${{AWS::Partition}}:events:{HERE}:event-bus/default"

Grants = dict[str, list[str]]

# Completing an upload, which the API, S3's event and upkeep do alike.
COMPLETING: Grants = {
    TABLE: ["dynamodb:GetItem", "dynamodb:UpdateItem"],
    # ListBucket is for S3 to say that there is nothing, rather than that it will not say.
    UPLOADS: ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
    UPLOAD: [
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ],
    RECORDINGS: ["s3:ListBucket"],
    RECORDING: ["s3:DeleteObjectVersion", "s3:GetObject", "s3:PutObject"],
}

GRANTS: dict[str, Grants] = {
    "api_handler": {
        **COMPLETING,
        TABLE: [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
        SHELF: ["dynamodb:Query"],
        CHANGES: ["dynamodb:Query"],
        RECORDINGS: ["s3:ListBucket", "s3:ListBucketVersions"],
        KEYS: ["secretsmanager:GetSecretValue"],
    },
    "notice": COMPLETING,
    "listen": {
        TABLE: [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        ],
        RECORDINGS: ["s3:ListBucket"],
        RECORDING: ["s3:GetObject"],
    },
    "upkeep": {
        **COMPLETING,
        TABLE: [
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
        DUE: ["dynamodb:Query"],
        BUS: ["events:PutEvents"],
        RECORDINGS: ["s3:ListBucket", "s3:ListBucketVersions"],
    },
    "deliver_mail": {
        TABLE: [
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ],
    },
}
JOBS = [function for function in GRANTS if function != "api_handler"]


def policy(
    function: str,
    stage: str,
    mail_from: str,
    *,
    upload_key: bool = False,
    apple_secret: str | None = None,
) -> dict[str, Any]:
    """The policy document of a stage's function.

    `mail_from` is RECORDER_MAIL_FROM; without it no mail is sent, and none may be. `upload_key`:
    there is a key that signs for upload libraries, which the API reads. `apple_secret` is
    RECORDER_APPLE_SECRET_ID, by which Apple is told of deletions.
    """
    grants = dict(GRANTS[function])
    if function == "api_handler" and upload_key:
        grants[UPLOAD_KEY] = ["secretsmanager:GetSecretValue"]
    if function == "deliver_mail" and apple_secret:
        grants[_secret(apple_secret)] = ["secretsmanager:GetSecretValue"]
    if function == "deliver_mail" and mail_from:
        for identity in _identities(mail_from):
            grants[f"arn:${{AWS::Partition}}:ses:{HERE}:identity/{identity}"] = ["ses:SendEmail"]
    grants |= _of_lambda_itself(function, stage)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resource}
            for resource, actions in grants.items()
        ],
    }


def name_in_lambda(function: str, stage: str) -> str:
    """What Chalice calls a stage's function when it is deployed."""
    return f"{APP}-{stage}-{function}" if function in JOBS else f"{APP}-{stage}"


def resolved(template: Any, values: Mapping[str, str]) -> Any:
    """A document with each `${name}` in it replaced by its value. KeyError for one that has none.

    `${Resource.Attribute}` is the value called ResourceAttribute, as the template's outputs are.
    """
    if isinstance(template, dict):
        return {key: resolved(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [resolved(value, values) for value in template]
    return re.sub(r"\$\{([\w.:]+)}", lambda name: values[name[1].replace(".", "")], template)


def substituted(template: Any) -> Any:
    """A document with each text that has a `${name}` in it left to CloudFormation to replace."""
    if isinstance(template, dict):
        return {key: substituted(value) for key, value in template.items()}
    if isinstance(template, list):
        return [substituted(value) for value in template]
    return {"Fn::Sub": template} if "${" in template else template


def _of_lambda_itself(function: str, stage: str) -> Grants:
    """What Lambda does in the function's name: its log, its traces, the events that it gives up."""
    log = f"log-group:/aws/lambda/{name_in_lambda(function, stage)}"
    grants = {
        f"arn:${{AWS::Partition}}:logs:{HERE}:{log}:log-stream:*": [
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
        # X-Ray knows no resources for these.
        "*": ["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
    }
    return grants | {DEAD_LETTERS: ["sqs:SendMessage"]} if function in JOBS else grants


def _secret(name_or_arn: str) -> str:
    """What a policy calls a secret: Secrets Manager adds six characters to its name."""
    if name_or_arn.startswith("arn:"):
        return name_or_arn
    return f"arn:${{AWS::Partition}}:secretsmanager:{HERE}:secret:{name_or_arn}-??????"


def _identities(mail_from: str) -> list[str]:
    """What SES may have verified: the address, or its domain. It goes by the narrower one."""
    _, address = parseaddr(mail_from)
    return [address, address.rpartition("@")[2]]
