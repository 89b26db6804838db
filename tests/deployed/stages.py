"""A stage, deployed by one of the two ways of docs/operations.md, from a copy of the project."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.provider import CLIENT_ID, Provider
from ops.policies import GRANTS, name_in_lambda
from ops.stacks import EMPTY
from tests.deployed.emulator import OFFLINE, REGION, Emulator, Identity
from tests.deployed.people import Api, as_json
from tests.deployed.steps import Failed
from tests.support import projects

STAGE = "dev"
STACK = f"recorder-{STAGE}"
ARTIFACTS = "artifacts"
# What in a template is a file of this machine until it is sent.
LOCAL = {"CodeUri", "ContentUri"}
FUNCTIONS = {function: name_in_lambda(function, STAGE) for function in GRANTS}
SENDER = "recorder@example.com"
# As short as it may be.
SILENCE_SECONDS = 60
SETTINGS = {
    "RECORDER_MAIL_FROM": SENDER,
    "RECORDER_LIVE_SILENCE_SECONDS": str(SILENCE_SECONDS),
    "RECORDER_GOOGLE_CLIENT_IDS": CLIENT_ID,
    "RECORDER_APPLE_CLIENT_IDS": CLIENT_ID,
    # All that is driven comes from one source.
    "RECORDER_SIGNUPS_PER_SOURCE": "100000",
    "RECORDER_LOGIN_FAILURES_PER_SOURCE": "100000",
}
DEPLOYED_SECONDS = 120
# How Chalice, and what makes the layer, say that PyPI has something not, or does not answer.
NOT_DOWNLOADED = ("Could not satisfy the requirement", "cannot be installed for Lambda")
# Runs a module as `python -m` does, and has it take this for AWS: elsewhere some do less.
AS_ON_AWS = """
import runpy, sys
from ops import runtime
runtime.leads_to_aws = lambda client: True
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@dataclass
class Stage:
    """A stage on the emulator, and the project that it is deployed from."""

    emulator: Emulator
    folder: Path
    provider: Provider
    """Stands in for Google and Apple."""
    parameters: list[str] = field(default_factory=list)
    """Those of the template that was packaged last."""

    def make_project(self) -> None:
        """Have a project, with settings besides those that are committed."""
        self.folder.mkdir()
        projects.copy_to(self.folder)
        self.set(SETTINGS | self.provider.environment())
        self.emulator.client("sesv2").create_email_identity(EmailIdentity=SENDER)

    def set(self, variables: dict[str, str]) -> None:
        """Set variables of the stage, as an operator does."""
        file = self.folder / ".chalice" / "config.json"
        config = json.loads(file.read_text())
        stage = config["stages"][STAGE]
        stage["environment_variables"] = stage["environment_variables"] | variables
        file.write_text(json.dumps(config, indent=2))

    def set_limits(self, limits: dict[str, int]) -> None:
        """Set limits of the stage, as an operator does."""
        file = self.folder / ".chalice" / "config.json"
        config = json.loads(file.read_text())
        config["stages"][STAGE]["limits"] |= limits
        file.write_text(json.dumps(config, indent=2))

    def make(self, target: str, typed: str = "", **variables: str) -> str:
        """Run `make TARGET` as root, and answer what it asks; what it printed."""
        ran = self._make(target, typed, variables)
        if any(each in ran.stderr for each in NOT_DOWNLOADED):
            raise Failed(f"make {target} could not download what is packaged: {OFFLINE}")
        if ran.returncode:
            raise Failed(f"make {target}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def refused(self, target: str, typed: str = "", **variables: str) -> str:
        """Run `make TARGET`, which has to fail; why it says that it did."""
        ran = self._make(target, typed, variables)
        if not ran.returncode:
            raise Failed(f"make {target} did it\n{ran.stdout}{ran.stderr}")
        return ran.stderr

    def chalice(self, *arguments: str) -> None:
        """Run one of Chalice's own commands, as root."""
        command = [str(Path(sys.executable).with_name("chalice")), *arguments]
        environ = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=environ | self.emulator.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise Failed(f"chalice {arguments[0]}: {ran.stdout}{ran.stderr}")

    def described(self) -> Any:
        """What there is of it, but for when it was written, and which deployment it is."""
        functions = self.emulator.client("lambda")
        gateway, events = (self.emulator.client(name) for name in ("apigateway", "events"))
        configured = {
            name: functions.get_function_configuration(FunctionName=name)
            for name in FUNCTIONS.values()
        }
        passing = ("LastModified", "RevisionId", "ResponseMetadata")
        return {
            "functions": {
                name: {key: value for key, value in each.items() if key not in passing}
                for name, each in configured.items()
            },
            "policies": {function: self.policy(function) for function in FUNCTIONS},
            "rules": events.list_rules()["Rules"],
            "api": self.api_id,
            "paths": sorted(
                (each["path"], *sorted(each.get("resourceMethods", {})))
                for each in gateway.get_resources(restApiId=self.api_id, limit=500)["items"]
            ),
            "refusals": gateway.get_gateway_responses(restApiId=self.api_id)["items"],
            "settings": gateway.get_stages(restApiId=self.api_id)["item"][0]["methodSettings"],
            "concurrency": {
                name: functions.get_function_concurrency(FunctionName=name).get(
                    "ReservedConcurrentExecutions"
                )
                for name in FUNCTIONS.values()
            },
        }

    def restart(self) -> None:
        """Have each function be run by new processes, as when it is deployed again."""
        client = self.emulator.client("lambda")
        for name in FUNCTIONS.values():
            told = client.get_function_configuration(FunctionName=name)["Environment"]
            told["Variables"]["RESTARTED"] = str(time.time_ns())
            client.update_function_configuration(FunctionName=name, Environment=told)

    def _make(
        self, target: str, typed: str, variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        given = {"STAGE": STAGE} | variables
        return projects.make_with(self.emulator.environment(), self.folder, target, given, typed)

    def run(
        self, identity: Identity, *module: str, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run an operator's command, as somebody, with the stage's variables in its environment."""
        return subprocess.run(
            [sys.executable, "-c", AS_ON_AWS, *module],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "RECORDER_BACKEND": "aws",
                **self.variables(),
                **self.emulator.environment(identity),
            },
            capture_output=True,
            text=True,
            input=typed,
            check=False,
        )

    def variables(self, function: str = "deliver_mail") -> dict[str, str]:
        """What a function is told, of all the most: it alone knows where links begin."""
        client = self.emulator.client("lambda")
        try:
            configured = client.get_function_configuration(FunctionName=FUNCTIONS[function])
        except client.exceptions.ResourceNotFoundException:
            return {}  # Before it is deployed.
        told: dict[str, str] = configured["Environment"]["Variables"]
        return told

    @property
    def api_id(self) -> str:
        """The API's; Failed unless there is exactly one."""
        there = self.emulator.client("apigateway").get_rest_apis()["items"]
        if len(there) != 1:
            raise Failed(f"There are {len(there)} APIs")
        return str(there[0]["id"])

    @property
    def api(self) -> Api:
        """The API, where it is for who is on this machine."""
        host = f"{self.api_id}.execute-api.localhost:{self.emulator.port}"
        return Api(f"{self.emulator.url}/{STAGE}", self.emulator.trust, host)

    @property
    def public_url(self) -> str:
        """Where it would be on AWS, as its mails say."""
        return f"https://{self.api_id}.execute-api.{REGION}.amazonaws.com/{STAGE}"

    def package(self) -> None:
        """Package, and send it, as `aws cloudformation package` does."""
        self.make("package")
        s3 = self.emulator.client("s3")
        if ARTIFACTS not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=ARTIFACTS)
        template = json.loads((self.folder / "out" / "sam.json").read_text())
        for resource in template["Resources"].values():
            for name in LOCAL & resource.get("Properties", {}).keys():
                code = (self.folder / "out" / resource["Properties"][name]).read_bytes()
                # By its content: the same code is the same place, and no change.
                key = hashlib.sha256(code).hexdigest()
                s3.put_object(Bucket=ARTIFACTS, Key=key, Body=code)
                resource["Properties"][name] = f"s3://{ARTIFACTS}/{key}"
        s3.put_object(Bucket=ARTIFACTS, Key="template.json", Body=json.dumps(template))
        self.parameters = list(template["Parameters"])

    def deploy_package(self) -> list[str]:
        """Deploy it, as `aws cloudformation deploy` does; the resources that changed."""
        client, name = self.emulator.client("cloudformation"), f"deploy-{time.time_ns()}"
        is_there = STACK in [each["StackName"] for each in client.describe_stacks()["Stacks"]]
        # That command keeps what a stack's parameters are, whatever their defaults have become.
        kept = [{"ParameterKey": each, "UsePreviousValue": True} for each in self.parameters]
        client.create_change_set(
            StackName=STACK,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if is_there else "CREATE",
            TemplateURL=f"https://s3.{REGION}.amazonaws.com/{ARTIFACTS}/template.json",
            Parameters=kept if is_there else [],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        change_set = self._until(
            lambda: client.describe_change_set(StackName=STACK, ChangeSetName=name), "Status"
        )
        if change_set["Status"] == "FAILED":
            if any(words in change_set["StatusReason"] for words in EMPTY):
                return []
            raise Failed(f"The change set: {change_set['StatusReason']}")
        client.execute_change_set(StackName=STACK, ChangeSetName=name)
        stack = self._until(
            lambda: client.describe_stacks(StackName=STACK)["Stacks"][0], "StackStatus"
        )
        if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            events = client.describe_stack_events(StackName=STACK)["StackEvents"]
            why = [each.get("ResourceStatusReason") for each in events]
            raise Failed(f"The stack is {stack['StackStatus']}: {[each for each in why if each]}")
        return [each["ResourceChange"]["LogicalResourceId"] for each in change_set["Changes"]]

    def policy(self, function: str) -> Any:
        """The one policy of a function's role."""
        iam, role = self.emulator.client("iam"), self.role(function)
        [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]

    def set_policy(self, function: str, document: Any) -> None:
        """Have a function's role have another one."""
        iam, role = self.emulator.client("iam"), self.role(function)
        [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def role(self, function: str) -> str:
        """The name of a function's role."""
        client = self.emulator.client("lambda")
        found = client.get_function_configuration(FunctionName=FUNCTIONS[function])["Role"]
        return str(found).rpartition("/")[2]

    def logged(self, function: str) -> list[Any]:
        """What a function logged, oldest first: each line of it that is JSON."""
        pages = self.emulator.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=f"/aws/lambda/{FUNCTIONS[function]}")
        return [
            line for page in found for event in page["events"] for line in as_json(event["message"])
        ]

    def faults(self) -> list[str]:
        """What the functions say went wrong."""
        return [
            f"{function}: {line.get('route', '')} {line.get('error', line.get('message'))}"
            for function in FUNCTIONS
            for line in self.logged(function)
            if line.get("level") in {"WARNING", "ERROR"}
        ]

    @staticmethod
    def _until(look: Any, status: str) -> Any:
        """What there is when its status is no passing one any more."""
        deadline = time.monotonic() + DEPLOYED_SECONDS
        while True:
            found = look()
            if not found[status].endswith(("_IN_PROGRESS", "_PENDING")):
                return found
            if time.monotonic() > deadline:
                raise Failed(f"It is still {found[status]}")
            time.sleep(0.2)
