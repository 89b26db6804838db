"""Packages a stage for whoever deploys by a pipeline: `make package STAGE=prod`.

Writes out/sam.json and out/deployment.zip: one SAM template with the functions, the API and all
that they stand on, and the code. No AWS is needed for it.
docs/operations.md says how such a package is deployed.

With `--zip-only` it makes the code alone, for the `chalice deploy` that follows to find.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from chalice.utils import to_cfn_resource_name

from ops import runtime, stacks
from ops.gateway import answers
from ops.policies import JOBS, name_in_lambda, substituted
from ops.provision import OPTIONAL, PROVISIONED, parameters, policies
from ops.stages import ROOT, Refused, Stage, carry_out, write

OUT = ROOT / "out"
# What belongs to how packages are installed, and what Python makes of the machine it ran on.
NOT_RUN = (".dist-info/", "__pycache__/")
# What AWS wants left when some of an account's concurrency is reserved.
UNRESERVED = 100
# email-validator asks DNS with it, which we do not have it do.
NEVER_IMPORTED = ("dns/",)
IN_LAMBDA = "/var/task"
# Only for the shape of names: nobody is asked anything there.
ANYWHERE = "us-east-1"


def main(arguments: list[str] | None = None) -> int:
    """Package, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make package")
    parser.add_argument("--zip-only", action="store_true", help="make what chalice deploy sends")
    return carry_out(
        parser,
        lambda stage, given: zip_only(stage) if given.zip_only else package(stage),
        arguments,
    )


def package(stage: Stage) -> None:
    """Write the template and the code to OUT."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("app.py", "requirements.txt"):
            shutil.copy(ROOT / name, copy)
        caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "chalicelib", copy / "chalicelib", ignore=caches)
        (copy / ".chalice").mkdir()
        # What Chalice has downloaded before it does not download again.
        (stage.folder / "deployments").mkdir(exist_ok=True)
        (copy / ".chalice" / "deployments").symlink_to(stage.folder / "deployments")
        shutil.copy(stage.folder / "config.json", copy / ".chalice")
        for name, document in policies(stage).items():
            write(copy / ".chalice" / name, substituted(document))
        write(copy / "merge.json", merged_into(stage))
        _chalice(copy, "package", "--stage", stage.name, "--merge-template", "merge.json", str(OUT))
    slim(OUT / "deployment.zip")
    print(f"{stage.stack}: {OUT.name}/sam.json and {OUT.name}/deployment.zip")
    if at_once := stage.limits.notice_at_once:
        print(
            f"Where the account has {at_once + UNRESERVED} or more at once, have notice run "
            f"{at_once} at once: --parameter-overrides NoticeAtOnce={at_once}"
        )
    if unfit := runtime.complaint():
        print(f"make package: warning: {unfit}", file=sys.stderr)


def zip_only(stage: Stage) -> None:
    """Make the code that `chalice deploy` looks for before it makes its own."""
    for cache in (ROOT / "chalicelib").rglob("__pycache__"):
        shutil.rmtree(cache)  # They are part of the name that it looks for.
    with tempfile.TemporaryDirectory() as unused:
        _chalice(ROOT, "package", "--stage", stage.name, unused)
    for made in (stage.folder / "deployments").glob("*.zip"):
        slim(made)


def slim(file: Path) -> None:
    """Leave in a zip what runs, compiled, and the same of the same every time."""
    new = file.with_name(f"{file.name}.new")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(file) as old:
            run = [name for name in old.namelist() if not name.startswith(NEVER_IMPORTED)]
            old.extractall(folder, [name for name in run if not any(p in name for p in NOT_RUN)])
        _compile(Path(folder))
        with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as slimmed:
            for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
                name = path.relative_to(folder).as_posix()
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16  # Lambda runs as somebody else.
                slimmed.writestr(entry, path.read_bytes())
    new.replace(file)


def _compile(folder: Path) -> None:
    """Put the bytecode beside the code, which takes a quarter off a cold start.

    By this Python, which is the one that Lambda is told to run. Lambda's disk cannot be written to,
    so nothing could be checked or kept there: hence unchecked hashes in place of times.
    """
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Where Lambda unpacks it, for traces; and one seed, so that sets come out in one order.
    subprocess.run(  # noqa: S603 - Python itself, and no shell
        [*command, "-s", str(folder), "-p", IN_LAMBDA, str(folder)],
        env={"PYTHONHASHSEED": "0"},
        check=True,
    )


def merged_into(stage: Stage) -> dict[str, Any]:
    """The stage's own template, and what Chalice's lacks: names, environments, refusals."""
    template = stacks.template()
    given = parameters(stage)
    for name, value in given.items():
        template["Parameters"][name]["Default"] = value
    # The code and the API were made for these.
    for name in ("Stage", "CorsOrigin"):
        template["Parameters"][name]["AllowedPattern"] = f"^{re.escape(given[name])}$"
    # Here the API's function has a name that Chalice knows how to make the log of.
    del template["Resources"]["ApiLog"], template["Parameters"]["LogDays"]
    # What CloudFormation could not reserve would fail the whole stack, and here is no AWS to ask.
    template["Parameters"]["NoticeAtOnce"] = {"Type": "Number", "Default": 0, "MinValue": 0}
    template["Conditions"]["ReservesNotice"] = {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "NoticeAtOnce"}, 0]}]
    }
    functions = {name: _function(name, stage) for name in stage.functions}
    api_log = f"/aws/lambda/{name_in_lambda('api_handler', stage.name)}"
    api = {
        "TracingEnabled": True,
        # Otherwise SAM makes a second stage in API Gateway, which is called Stage.
        "OpenApiVersion": "2.0",
        "MethodSettings": [
            {
                "HttpMethod": "*",
                "ResourcePath": "/*",
                "ThrottlingRateLimit": stage.limits.requests_per_second,
                "ThrottlingBurstLimit": stage.limits.requests_at_once,
            }
        ],
        "GatewayResponses": {
            kind: {
                "StatusCode": answer.status,
                "ResponseParameters": {"Headers": answer.headers},
                "ResponseTemplates": answer.templates,
            }
            for kind, answer in answers(given["CorsOrigin"]).items()
        },
    }
    template["Resources"] |= {
        # Chalice calls this function otherwise than its resources.
        "APIHandler": functions.pop("api_handler"),
        "ApiHandlerLogGroup": {"Properties": {"LogGroupName": api_log}},
        "RestAPI": {"Properties": api},
        **{to_cfn_resource_name(name): function for name, function in functions.items()},
    }
    return template


def _function(name: str, stage: Stage) -> dict[str, Any]:
    told = PROVISIONED | OPTIONAL
    by_hand = {key: text for key, text in stage.environment().items() if key not in told}
    variables: dict[str, Any] = {"RECORDER_STAGE": stage.name} | by_hand
    variables |= {key: {"Ref": output} for key, output in PROVISIONED.items()}
    properties: dict[str, Any] = {"FunctionName": name_in_lambda(name, stage.name)}
    if name in JOBS:
        dead_letters = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
        properties["EventInvokeConfig"] = {"DestinationConfig": {"OnFailure": dead_letters}}
    if name == "notice":
        arrival = {"detail": {"bucket": {"name": [{"Ref": "UploadsBucket"}]}}}
        properties["ReservedConcurrentExecutions"] = {
            "Fn::If": ["ReservesNotice", {"Ref": "NoticeAtOnce"}, {"Ref": "AWS::NoValue"}]
        }
        properties["Events"] = {"NoticeEvent": {"Properties": {"Pattern": arrival}}}
    if name == "deliver_mail":
        address = "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        variables.setdefault("RECORDER_PUBLIC_URL", {"Fn::Sub": f"{address}/{stage.name}"})
    properties["Environment"] = {"Variables": variables}
    return {"Properties": properties}


def _chalice(project: Path, *arguments: str) -> None:
    environ = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("AWS_", "RECORDER_"))
    }
    environ["AWS_DEFAULT_REGION"] = os.environ.get("AWS_DEFAULT_REGION", ANYWHERE)
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [str(Path(sys.executable).with_name("chalice")), *arguments]
    ran = subprocess.run(  # noqa: S603 - the tool of our own environment, and no shell
        command, cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise Refused(f"chalice {arguments[0]}: {(ran.stderr or ran.stdout).strip()}")


if __name__ == "__main__":
    sys.exit(main())
