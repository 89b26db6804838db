"""Takes a stage off AWS: `make destroy STAGE=prod`. Its data stays, unless that is asked for twice.

What Chalice made goes: the API, with its address, and the functions. The stack stays, with the
table, the buckets and the keys; `make deploy` finds it again.

`make destroy STAGE=prod DATA=delete` deletes those too, every account and every recording, once
somebody has typed so. The table is protected from that, but for dev and staging, as long as nobody
has said to AWS that it is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError
from chalice.cli.factory import CLIFactory
from chalice.deploy.deployer import ChaliceDeploymentError
from chalice.utils import UI

from ops import layer
from ops.finish import PUBLIC_URL, address
from ops.policies import name_in_lambda
from ops.provision import KNOWN_TO_APPLE, OPTIONAL, PROVISIONED
from ops.record import check_functions, check_way, drop_what_is_gone
from ops.stacks import Stack, typed
from ops.stages import ROOT, Refused, Stage, carry_out

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GONE = {"NoSuchBucket", "ResourceNotFoundException"}


def main(arguments: list[str] | None = None) -> int:
    """Destroy, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make destroy")
    parser.add_argument("--data", choices=["keep", "delete"], default="keep")
    return carry_out(
        parser, lambda stage, given: destroy(stage, data_too=given.data == "delete"), arguments
    )


def destroy(stage: Stage, *, data_too: bool) -> None:
    """Take the stage away. Refused if nobody says so, or if its data is protected."""
    session = boto3.session.Session()
    stack = Stack(session.client("cloudformation"), stage.stack)
    outputs = stack.outputs()
    check_way(stack, stage)
    check_functions(session, stage)
    if data_too and outputs:
        _check_unprotected(session, outputs["Table"])
    print(f"The API and the functions of {stage.name} go; the address will not come back.")
    print(f"Every account and every recording {'goes, for good' if data_too else 'stays'}.")
    if not typed(f"delete all of {stage.name}" if data_too else stage.stack):
        raise Refused("nothing was changed")
    _forget_the_address(stage)
    drop_what_is_gone(session, stage)
    try:
        _delete_what_chalice_made(stage)
    finally:
        _end_logs_in_time(session, stage)
    if data_too and outputs:
        _delete_data(session, outputs, stage.apple_secret)
        stack.delete()
        _delete_logs(session, stage)
        layer.forget(stage)
        for file in stage.folder.glob(f"policy-{stage.name}-*.json"):
            file.unlink()
        _forget(stage, *PROVISIONED, *OPTIONAL)
        if stage.environment().get(KNOWN_TO_APPLE) == stage.apple_secret:
            _forget(stage, KNOWN_TO_APPLE)
    elif outputs:
        print(f"{stage.stack} stays, and its alarm upkeep-overdue is on until make deploy.")


def _check_unprotected(session: boto3.session.Session, table: str) -> None:
    with _gone_is_fine():
        described = session.client("dynamodb").describe_table(TableName=table)["Table"]
        if described.get("DeletionProtectionEnabled"):
            lift = (
                f"aws dynamodb update-table --table-name {table} --no-deletion-protection-enabled"
            )
            raise Refused(f"{table} is protected; whoever means it lifts that first: {lift}")


def _forget_the_address(stage: Stage) -> None:
    """Forget where links begin, if that is the API's own address, which does not come back."""
    api = stage.deployed("rest_api")
    if api and stage.environment().get(PUBLIC_URL) == address(api):
        _forget(stage, PUBLIC_URL)


def _delete_what_chalice_made(stage: Stage) -> None:
    """As `chalice delete` does, which by itself is refused."""
    chalice = CLIFactory(str(ROOT))
    config = chalice.create_config_obj(chalice_stage_name=stage.name)
    deployer = chalice.create_deletion_deployer(chalice.create_botocore_session(), UI())
    try:
        deployer.deploy(config, chalice_stage_name=stage.name)
    except ChaliceDeploymentError as error:
        raise Refused(f"{error}; this can be run again") from error


def _end_logs_in_time(session: boto3.session.Session, stage: Stage) -> None:
    """Have what is logged go when its time is over: with the functions Chalice takes that away."""
    logs = session.client("logs")
    for name in _log_groups(stage):
        with _gone_is_fine():
            logs.put_retention_policy(logGroupName=name, retentionInDays=stage.log_days)


def _delete_data(
    session: boto3.session.Session, outputs: dict[str, str], apple_secret: str
) -> None:
    for bucket in (outputs["UploadsBucket"], outputs["RecordingsBucket"]):
        with _gone_is_fine():
            print(f"  deleting  {bucket}")
            _empty(session.client("s3"), bucket)
            session.client("s3").delete_bucket(Bucket=bucket)
    with _gone_is_fine():
        print(f"  deleting  {outputs['Table']}")
        session.client("dynamodb").delete_table(TableName=outputs["Table"])
    for secret in (outputs["JwtSecret"], apple_secret):
        with _gone_is_fine():
            # At once: a name that waits for its deletion cannot be used again.
            session.client("secretsmanager").delete_secret(
                SecretId=secret, ForceDeleteWithoutRecovery=True
            )


def _empty(s3: S3Client, bucket: str) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        there = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if there:
            s3.delete_objects(
                Bucket=bucket,
                Delete={
                    "Objects": [
                        {"Key": each["Key"], "VersionId": each["VersionId"]} for each in there
                    ]
                },
            )
    for uploads in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in uploads.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _delete_logs(session: boto3.session.Session, stage: Stage) -> None:
    for name in _log_groups(stage):
        with _gone_is_fine():
            session.client("logs").delete_log_group(logGroupName=name)


def _log_groups(stage: Stage) -> list[str]:
    names = [name_in_lambda(function, stage.name) for function in stage.functions]
    # The last is what Chalice takes for the API's.
    return [f"/aws/lambda/{name}" for name in (*names, f"{stage.stack}-api_handler")]


def _forget(stage: Stage, *variables: str) -> None:
    left = {name: text for name, text in stage.environment().items() if name not in variables}
    stage.set_environment(left)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """What a run that was cut off has deleted already is no error."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise


if __name__ == "__main__":
    sys.exit(main())
