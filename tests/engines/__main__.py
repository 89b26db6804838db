"""`make engines`: the suite on DynamoDB Local and the embedded S3, and what S3 does on versitygw.

It says what was run, and what was not since this machine lacks something.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import boto3

from local.embedded.environment import REGION
from local.embedded.template import resources
from tests.engines import dynamodb_local, versitygw
from tests.support import ROOT, engines
from tests.support.unwinding import unwinding

OF_OPERATORS = ("audit", "audit_in_use", "operations", "users")
# All that stands on a table and buckets. The rest looks at documents, at deployments to moto, and
# at servers of its own.
SUITE = [
    "tests/core",
    "tests/aws",
    "tests/api",
    "tests/stateful",
    "tests/engines",
    *(f"tests/ops/test_{name}.py" for name in OF_OPERATORS),
    "tests/test_telemetry.py",
]
# Each worker has an S3 and a table of its own.
WORKERS = ["-n", "2", "--dist", "loadgroup"]
S3 = ["tests/local/test_embedded_s3.py"]
# What these fail with is the network's fault.
FETCHERS = {"mvn", "go"}
# Where versitygw differs from S3. It takes a signed URL with our Authorization header, says of a
# body in chunks that it is signed otherwise; it ignores CopyObject's If-None-Match, and a delete's
# If-Match where nothing is; its pages of one version are a loop; and it is S3 alone. The app rests
# on none of these but the copy's condition: docs/decisions/45-nothing-that-s3-does-not-promise.md.
NOT_AS_S3 = " and ".join(
    f"not {name}"
    for name in (
        "ours",
        "chunks",
        "dynamodb",
        "eventbridge",
        "happens_once",
        "meant_is_deleted",
        "one_by_one",
    )
)


def main() -> int:
    """Run what can be run; 1 if a test failed, and 0 if none did."""
    with unwinding("engines"):
        return max(
            _on("DynamoDB Local and the embedded S3", dynamodb_local.missing(), _suite),
            _on("versitygw", versitygw.missing(), _rules_of_s3),
        )


def _on(name: str, missing: list[str], run: Any) -> int:
    if missing:
        _say(f"not run on {name}: there is no {' and no '.join(missing)}")
        return 0
    try:
        code = int(run())
    except subprocess.CalledProcessError as error:
        if error.cmd[0] not in FETCHERS:
            raise
        _say(f"not run on {name}: {error.cmd[0]} could not fetch it")
        return 0
    _say(f"on {name}: {'passed' if code == 0 else 'FAILED'}")
    return code


def _say(what: str) -> None:
    sys.stdout.write(f"engines: {what}\n")
    sys.stdout.flush()


def _suite() -> int:
    with dynamodb_local.running() as url:
        arguments = [*SUITE, *WORKERS, "-m", "not emulator and not deep", *sys.argv[1:]]
        return _pytest({engines.NAME: url}, arguments)


def _rules_of_s3() -> int:
    with versitygw.running() as url:
        session = boto3.session.Session(versitygw.KEY, versitygw.SECRET, region_name=REGION)
        environment = {
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_SECRET_ACCESS_KEY": versitygw.SECRET,
            "AWS_REGION": REGION,
            **_make_buckets(session.client("s3", endpoint_url=url)),
        }
        return _pytest({"TEST_S3": json.dumps(environment)}, [*S3, "-k", NOT_AS_S3])


def _make_buckets(s3: Any) -> dict[str, str]:
    names = {}
    for variable, resource in (("UPLOADS", "UploadsBucket"), ("RECORDINGS", "RecordingsBucket")):
        properties = resources(REGION)[resource]
        name = names[f"RECORDER_{variable}_BUCKET"] = str(properties["BucketName"])
        s3.create_bucket(Bucket=name)
        if versioning := properties.get("VersioningConfiguration"):
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        rules = [
            {S3_FIELDS.get(field, field): value for field, value in rule.items()}
            for rule in properties["CorsConfiguration"]["CorsRules"]
        ]
        s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})
    return names


# What S3 calls otherwise than CloudFormation does.
S3_FIELDS = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}


def _pytest(environment: dict[str, str], arguments: list[str]) -> int:
    environ = os.environ | environment
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
