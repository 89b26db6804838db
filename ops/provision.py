"""Makes or updates what a stage stands on, by ops/template.yaml: the first half of a deployment.

    make deploy STAGE=prod       this, then what docs/operations.md says
    make deploy STAGE=prod ARGS='--alarm-email ops@example.com'

It is one CloudFormation stack. What would change is shown first; before anything that holds data is
replaced or removed, it asks, unless `--replace-data` is given. Then it writes the functions'
environment into .chalice/config.json, where whatever else is set by hand stays, and their policies
beside it. It can be run again at any time.

AWS is reached as botocore is configured to.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import boto3

if __package__ in {None, ""}:  # As `python ops/provision.py` it is no module of a package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chalicelib import settings
from ops import runtime
from ops.policies import policy, resolved
from ops.record import check_deployable, drop_half_made
from ops.stacks import Stack
from ops.stages import Refused, Stage, carry_out, write

# Which of the stack's outputs is the value of which variable.
UPLOAD_KEY = "RECORDER_UPLOAD_KEY_SECRET_ID"
PROVISIONED = {
    "RECORDER_TABLE": "Table",
    "RECORDER_UPLOADS_BUCKET": "UploadsBucket",
    "RECORDER_RECORDINGS_BUCKET": "RecordingsBucket",
    "RECORDER_JWT_SECRET_ID": "JwtSecret",
}
# The same, of what there is only where somebody wants it.
OPTIONAL = {UPLOAD_KEY: "UploadKeySecret"}
SERIAL = "UploadKeySerial"
# What make apple-secret sets.
KNOWN_TO_APPLE = "RECORDER_APPLE_SECRET_ID"


def main(arguments: list[str] | None = None) -> int:
    """Provision, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make deploy")
    parser.add_argument("--alarm-email", help="who is mailed of alarms; kept from then on")
    parser.add_argument(
        "--upload-key",
        choices=["on", "off"],
        help="whether a key signs for upload libraries in browsers; kept from then on",
    )
    parser.add_argument(
        "--replace-data",
        action="store_true",
        help="do not ask before something that holds data is replaced or removed",
    )
    return carry_out(
        parser,
        lambda stage, given: provision(
            stage, given.alarm_email, given.upload_key, replace_data=given.replace_data
        ),
        arguments,
    )


def provision(
    stage: Stage, alarm_email: str | None, upload_key: str | None, *, replace_data: bool
) -> None:
    """Bring a stage's stack, environment and policies up to date. Refused says why it cannot."""
    unfit = runtime.complaint()
    if unfit and not runtime.leads_elsewhere():
        raise Refused(unfit)
    given = parameters(stage)
    policies(stage)  # Before anything is changed, since the stage may not do.
    if alarm_email is not None:
        given["AlarmEmail"] = alarm_email
    session = boto3.session.Session()
    caller = session.client("sts").get_caller_identity()
    client = session.client("cloudformation")
    where = {
        "AWS::Partition": caller["Arn"].split(":")[1],
        "AWS::Region": client.meta.region_name,
        "AWS::AccountId": caller["Account"],
    }
    print(f"{stage.stack} in account {caller['Account']}, region {client.meta.region_name}")
    _check_place(stage, where)
    stack = Stack(client, stage.stack)
    check_deployable(session, stage)
    drop_half_made(session, stage)
    given[SERIAL] = _serial(stack.parameter(SERIAL), upload_key)
    stack.bring_up_to_date(given, replace_data=replace_data)
    outputs = stack.outputs()
    provisioned = {variable: outputs[output] for variable, output in PROVISIONED.items()}
    wanted = {variable: outputs[name] for variable, name in OPTIONAL.items() if name in outputs}
    own = {"RECORDER_STAGE": stage.name, "RECORDER_CORS_ORIGIN": given["CorsOrigin"]}
    by_hand = {name: text for name, text in stage.environment().items() if name not in OPTIONAL}
    stage.set_environment(by_hand | own | provisioned | wanted)
    for name, document in policies(stage, upload_key=UPLOAD_KEY in wanted).items():
        write(stage.folder / name, resolved(document, outputs | where))
    print(f"{stage.stack}: environment and policies are in {stage.folder.name}")


def parameters(stage: Stage) -> dict[str, str]:
    """The template's parameters, as the stage's settings have them. Refused if they will not do."""
    configured = _settings(stage)
    return {
        "Stage": stage.name,
        "CorsOrigin": configured.cors_origin,
        "StagingDays": str(4 * configured.upload_days + 1),
        "LogDays": str(stage.log_days),
        **stage.limits.parameters(),
    }


def policies(stage: Stage, *, upload_key: bool = False) -> dict[str, Any]:
    """The policy of each of its functions, by the name of its file."""
    configured = _settings(stage)
    mail_from, apple_secret = configured.mail_from or "", configured.apple_secret_id
    return {
        f"policy-{stage.name}-{function}.json": policy(
            function, stage.name, mail_from, upload_key=upload_key, apple_secret=apple_secret
        )
        for function in stage.functions
    }


def _serial(before: str, upload_key: str | None) -> str:
    """Which key is to sign for upload libraries, where this one did."""
    serial = int(before or 0)
    if upload_key == "off":
        return "0"
    return str(max(serial, 1) if upload_key == "on" else serial)


def _settings(stage: Stage) -> settings.Settings:
    """What the stage's variables say. Refused if they cannot be used."""
    try:
        return settings.load(stage.environment() | {"RECORDER_BACKEND": "embedded"})
    except settings.SettingsError as error:
        raise Refused(f"{stage.name} in .chalice/config.json: {error}") from error


def _check_place(stage: Stage, where: dict[str, str]) -> None:
    """Refused if the stage was provisioned elsewhere: this would begin another one, empty."""
    before = stage.environment().get("RECORDER_UPLOADS_BUCKET")
    account, region = where["AWS::AccountId"], where["AWS::Region"]
    if before and before != f"{stage.stack}-uploads-{account}-{region}":
        raise Refused(
            f"{stage.name} is where {before} is, not in account {account}, region {region}; "
            "docs/operations.md says how to move"
        )


if __name__ == "__main__":
    sys.exit(main())
