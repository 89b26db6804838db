"""Packages a stage for whoever deploys by a pipeline: `make package STAGE=prod`.

Writes out/sam.json, out/deployment.zip and out/layer.zip: one SAM template with the functions, the
API and all that they stand on, the code, and the libraries that one function has besides. No AWS
is needed for it.
docs/operations.md says how such a package is deployed.

With `--zip-only` it makes the code alone, for the `chalice deploy` that follows to find.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from chalice.utils import to_cfn_resource_name

from ops import layer, runtime, stacks, zips
from ops.gateway import answers
from ops.policies import JOBS, name_in_lambda, substituted
from ops.provision import OPTIONAL, PROVISIONED, parameters, policies
from ops.stages import ROOT, Refused, Stage, carry_out, write

OUT = ROOT / "out"
LAYER = "layer.zip"
# Where Lambda unpacks the code.
IN_LAMBDA = "/var/task"
# The jobs that S3's events start, and the bucket that they are of.
OF_BUCKETS = {"notice": "UploadsBucket", "listen": "RecordingsBucket"}
# What AWS wants left when some of an account's concurrency is reserved.
UNRESERVED = 100
# email-validator asks DNS with it, which we do not have it do.
NEVER_IMPORTED = ("dns/",)
# Who deploys what is packaged, as its stack says.
PIPELINE = "a pipeline"
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
        # The layer of a deployment otherwise is none of this stack's.
        Stage(stage.name, copy).forget_layers()
        for name, document in policies(stage).items():
            write(copy / ".chalice" / name, substituted(document))
        write(copy / "merge.json", merged_into(stage))
        _chalice(copy, "package", "--stage", stage.name, "--merge-template", "merge.json", str(OUT))
    slim(OUT / "deployment.zip")
    shutil.copy(layer.built(OUT), OUT / LAYER)
    print(f"{stage.stack}: {OUT.name}/sam.json, {OUT.name}/deployment.zip and {OUT.name}/{LAYER}")
    at_once = stage.limits.at_once
    if reserved := sum(at_once.values()):
        overrides = " ".join(f"{_at_once(name)}={number}" for name, number in at_once.items())
        print(
            f"Where the account has {reserved + UNRESERVED} or more at once, have some of it kept "
            f"for the jobs: --parameter-overrides {overrides}"
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
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(file) as old:
            run = [name for name in old.namelist() if not name.startswith(NEVER_IMPORTED)]
            old.extractall(folder, [name for name in run if not zips.is_not_run(name)])
        zips.zipped(Path(folder), file, IN_LAMBDA)


def merged_into(stage: Stage) -> dict[str, Any]:
    """The stage's own template, and what Chalice's lacks: names, environments, refusals."""
    given = parameters(stage)
    template: dict[str, Any] = _settled(stacks.template(), given)
    # A parameter stays what it was, whatever its default becomes: what is set is no parameter here.
    for name in given:
        del template["Parameters"][name]
    # Which is why conditions always come out as they do, of which cfn-lint would warn.
    template["Metadata"] = {"cfn-lint": {"config": {"ignore_checks": ["W8003"]}}}
    template["Parameters"]["DeployedBy"] |= {
        "Default": PIPELINE,
        "AllowedValues": [PIPELINE],
        "ConstraintDescription": "this stage was deployed by make deploy, so go on with that; "
        "docs/operations.md says how to change it",
    }
    # Here the API's function has a name that Chalice knows how to make the log of.
    del template["Resources"]["ApiLog"]
    # What CloudFormation could not reserve would fail the whole stack, and here is no AWS to ask.
    for function in stage.limits.at_once:
        number = _at_once(function)
        template["Parameters"][number] = {"Type": "Number", "Default": 0, "MinValue": 0}
        template["Conditions"][f"Has{number}"] = {"Fn::Not": [{"Fn::Equals": [{"Ref": number}, 0]}]}
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
        "ListenerLayer": {
            "Type": "AWS::Serverless::LayerVersion",
            "Properties": {
                "LayerName": layer.name_of(stage.name),
                "ContentUri": f"./{LAYER}",
                "CompatibleRuntimes": [f"python{layer.PYTHON}"],
            },
        },
        "ApiHandlerLogGroup": {"Properties": {"LogGroupName": api_log}},
        "RestAPI": {"Properties": api},
        **{to_cfn_resource_name(name): function for name, function in functions.items()},
    }
    return template


def _settled(document: Any, values: dict[str, str]) -> Any:
    """A part of a template, in which these parameters are the values that they have."""
    if isinstance(document, list):
        return [_settled(each, values) for each in document]
    if not isinstance(document, dict):
        return document
    if document.keys() == {"Ref"}:
        return values.get(document["Ref"], document)
    if document.keys() == {"Fn::Sub"} and isinstance(document["Fn::Sub"], str):
        text = document["Fn::Sub"]
        for name, value in values.items():
            text = text.replace(f"${{{name}}}", value)
        return {"Fn::Sub": text} if "${" in text else text
    return {key: _settled(value, values) for key, value in document.items()}


def _function(name: str, stage: Stage) -> dict[str, Any]:
    told = PROVISIONED | OPTIONAL
    by_hand = {key: text for key, text in stage.environment().items() if key not in told}
    variables: dict[str, Any] = {"RECORDER_STAGE": stage.name} | by_hand
    variables |= {key: {"Ref": output} for key, output in PROVISIONED.items()}
    properties: dict[str, Any] = {"FunctionName": name_in_lambda(name, stage.name)}
    if name in JOBS:
        dead_letters = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
        properties["EventInvokeConfig"] = {"DestinationConfig": {"OnFailure": dead_letters}}
    if bucket := OF_BUCKETS.get(name):
        number, job = _at_once(name), to_cfn_resource_name(name)
        properties["ReservedConcurrentExecutions"] = {
            "Fn::If": [f"Has{number}", {"Ref": number}, {"Ref": "AWS::NoValue"}]
        }
        pattern = {"detail": {"bucket": {"name": [{"Ref": bucket}]}}}
        properties["Events"] = {f"{job}Event": {"Properties": {"Pattern": pattern}}}
    if name == layer.FUNCTION:
        properties["Layers"] = [{"Ref": "ListenerLayer"}]
    if name == "deliver_mail":
        address = "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        variables.setdefault("RECORDER_PUBLIC_URL", {"Fn::Sub": f"{address}/{stage.name}"})
    properties["Environment"] = {"Variables": variables}
    return {"Properties": properties}


def _at_once(function: str) -> str:
    """The parameter that says how many runs of a job there are at most."""
    return f"{to_cfn_resource_name(function)}AtOnce"


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
