"""A stack in CloudFormation: what would change is shown, and what would cost data is asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from chalice.package import YAMLTemplateSerializer

from ops.stages import ROOT, Refused

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import (
        ChangeTypeDef,
        ParameterTypeDef,
        StackEventTypeDef,
        StackTypeDef,
    )

TEMPLATE = ROOT / "ops" / "template.yaml"
POLL_SECONDS = 3.0
# Whatever has data in it is of one of these.
HOLD_DATA = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret"}
VERBS = {"Add": "make", "Modify": "change", "Remove": "remove"}
# A stack that will not be updated any more.
STUCK = {
    "ROLLBACK_COMPLETE": "could not be made, and was undone",
    "ROLLBACK_FAILED": "could not be made, nor undone",
    "CREATE_FAILED": "could not be made",
    "DELETE_FAILED": "could not be removed",
}
# What CloudFormation calls a change set that is empty.
EMPTY = ("didn't contain changes", "No updates are to be performed")


class Stack:
    """One stack, made of template.yaml."""

    def __init__(self, client: CloudFormationClient, name: str) -> None:
        """Ask nothing yet."""
        self._client = client
        self._name = name

    def bring_up_to_date(self, parameters: dict[str, str], *, replace_data: bool) -> None:
        """Have it be as the template and these parameters say; others stay what they were.

        Refused when its state does not allow that, when somebody says no, or when CloudFormation
        could not do it.
        """
        name = f"provision-{int(time.time())}"
        changes = self._propose(name, parameters)
        if changes is None:
            print(f"{self._name}: nothing to change")
            return
        for change in changes:
            print(f"  {_described(change)}")
        lost = [change for change in changes if takes_data(change)]
        if lost and not replace_data and not self._confirmed(lost):
            self._client.delete_change_set(StackName=self._name, ChangeSetName=name)
            raise Refused("nothing was changed")
        last = next(self._events(), None)
        self._client.execute_change_set(StackName=self._name, ChangeSetName=name)
        self._watch(last)

    def outputs(self) -> dict[str, str]:
        """What it says of what it made, by name; nothing if there is no such stack."""
        stack = self._found()
        given = stack["Outputs"] if stack and "Outputs" in stack else []
        return {each["OutputKey"]: each["OutputValue"] for each in given}

    def parameter(self, name: str) -> str:
        """What it was made with; nothing if it was made without, or never."""
        stack = self._found()
        given = stack.get("Parameters", []) if stack else []
        values = {each["ParameterKey"]: each["ParameterValue"] for each in given}
        return values.get(name, "")

    def has(self, kind: str) -> bool:
        """Whether it has something of this kind, by CloudFormation's name of it."""
        if self._found() is None:
            return False
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self._name)
        return any(
            each["ResourceType"] == kind and each["ResourceStatus"] != "DELETE_COMPLETE"
            for page in pages
            for each in page["StackResourceSummaries"]
        )

    def delete(self) -> None:
        """Remove what it made but for what holds data, which stays where it is."""
        self._client.delete_stack(StackName=self._name)
        self._client.get_waiter("stack_delete_complete").wait(StackName=self._name)

    def _propose(self, name: str, parameters: dict[str, str]) -> list[ChangeTypeDef] | None:
        """What would change; None if nothing would."""
        standing = self._standing()
        before = {each["ParameterKey"] for each in standing["Parameters"]} if standing else set()
        # Of one that the template does not have any more CloudFormation knows no previous value.
        kept = (before & template()["Parameters"].keys()) - parameters.keys()
        given: list[ParameterTypeDef] = [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ]
        given += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
        self._client.create_change_set(
            StackName=self._name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if standing else "CREATE",
            TemplateBody=TEMPLATE.read_text(encoding="utf-8"),
            Parameters=given,
            # It may make a user, who may do no more than the template says.
            Capabilities=["CAPABILITY_IAM"],
        )
        while True:
            answer = self._client.describe_change_set(StackName=self._name, ChangeSetName=name)
            if answer["Status"] == "CREATE_COMPLETE":
                break
            if answer["Status"] == "FAILED":
                self._client.delete_change_set(StackName=self._name, ChangeSetName=name)
                why = answer.get("StatusReason", "")
                if any(words in why for words in EMPTY):
                    return None
                raise Refused(f"{self._name}: {why}")
            time.sleep(POLL_SECONDS)
        pages = self._client.get_paginator("describe_change_set")
        found = pages.paginate(StackName=self._name, ChangeSetName=name)
        return [change for page in found for change in page["Changes"]]

    def _standing(self) -> StackTypeDef | None:
        """The stack, if it was ever made. Refused if it cannot be changed now."""
        stack = self._found()
        # In review is what has been given a change set, and nothing else yet.
        if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            return None
        status = stack["StackStatus"]
        if status in STUCK:
            clear = f"aws cloudformation delete-stack --stack-name {self._name}"
            if status != "ROLLBACK_COMPLETE":
                clear = f"{self._free_the_table()}; then: {clear}"
            raise Refused(f"{self._name} {STUCK[status]}; find out why, then: {clear}")
        if status == "UPDATE_ROLLBACK_FAILED":
            again = f"aws cloudformation continue-update-rollback --stack-name {self._name}"
            raise Refused(f"{self._name} is half-way back from an update; mend it, then: {again}")
        if status.endswith("_IN_PROGRESS"):
            raise Refused(f"{self._name} is being changed ({status}); try again when that is over")
        return stack

    def _free_the_table(self) -> str:
        """How to remove a protected table, which is called as the stack is."""
        table = f"--table-name {self._name}"
        return (
            f"aws dynamodb update-table {table} --no-deletion-protection-enabled; "
            f"and, if the table is empty: aws dynamodb delete-table {table}"
        )

    def _found(self) -> StackTypeDef | None:
        try:
            (stack,) = self._client.describe_stacks(StackName=self._name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return stack

    def _confirmed(self, lost: list[ChangeTypeDef]) -> bool:
        names = ", ".join(each["ResourceChange"]["LogicalResourceId"] for each in lost)
        print(f"{self._name} would go on without the data that is now in {names}.")
        return typed(self._name)

    def _watch(self, last: StackEventTypeDef | None) -> None:
        """Say what happens until it is over. Refused, with the reasons, if it does not go well."""
        reasons: list[str] = []
        while True:
            (stack,) = self._client.describe_stacks(StackName=self._name)["Stacks"]
            for event in reversed(list(self._events(since=last))):
                last = event
                print(f"  {event['ResourceStatus'].lower()}  {event['LogicalResourceId']}")
                if event["ResourceStatus"].endswith("_FAILED"):
                    why = event.get("ResourceStatusReason", "no reason given")
                    reasons.append(f"{event['LogicalResourceId']}: {why}")
            status = stack["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(POLL_SECONDS)
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            raise Refused(f"{self._name} is in {status}; {'; '.join(reasons)}")

    def _events(self, since: StackEventTypeDef | None = None) -> Iterator[StackEventTypeDef]:
        """What happened to the stack after that, the newest first."""
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=self._name)
        events = (event for page in pages for event in page["StackEvents"])
        return itertools.takewhile(
            lambda event: since is None or event["EventId"] != since["EventId"], events
        )


def template() -> dict[str, Any]:
    """What TEMPLATE says."""
    text = TEMPLATE.read_text(encoding="utf-8")
    document: dict[str, Any] = YAMLTemplateSerializer().load_template(text)
    return document


def takes_data(change: ChangeTypeDef) -> bool:
    """Whether a change puts something else, or nothing, in the place of what holds data."""
    resource = change["ResourceChange"]
    goes = resource["Action"] == "Remove" or resource.get("Replacement", "False") != "False"
    return goes and resource["ResourceType"] in HOLD_DATA


def typed(word: str) -> bool:
    """Whether the person at the terminal, if there is one, types a word."""
    try:
        return input(f"Type {word} to go on: ") == word
    except EOFError:
        print()
        return False


def _described(change: ChangeTypeDef) -> str:
    resource = change["ResourceChange"]
    replaced = resource.get("Replacement", "False")
    verb = VERBS.get(resource["Action"], resource["Action"].lower())
    if replaced != "False":
        verb = "replace" if replaced == "True" else "perhaps replace"
    return f"{verb}  {resource['LogicalResourceId']} ({resource['ResourceType']})"
