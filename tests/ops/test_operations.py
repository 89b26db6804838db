"""docs/operations.md says of every alarm what it means, and what a request costs as it does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from chalicelib.aws.clients import Clients
from tests.aws.test_cost import CASES, somebody
from tests.ops.test_template import alarms
from tests.support import ROOT
from tests.support.iam import Asked, recording

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
# What S3 takes as much for as for a PUT; the rest of what is asked of it costs a tenth, or nothing.
LIKE_PUT = r"Put|Copy|Post|List|Create|Complete"


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading: what is in the other columns, by what is in the first."""
    _, _, section = TEXT.partition(f"## {heading}\n")
    section, _, _ = section.partition("\n## ")
    lines = re.findall(r"^\| `(.+?)` \| (.+) \|$", section, re.MULTILINE)
    return {name: [each.strip() for each in others.split("|")] for name, others in lines}


def test_every_alarm_is_documented_and_nothing_else() -> None:
    assert set(rows("Alarms")) == set(alarms())


def test_an_alarm_is_documented_with_what_it_means_and_what_to_do() -> None:
    assert all(
        len(text) > 20 for means_and_todo in rows("Alarms").values() for text in means_and_todo
    )


@pytest.fixture
def measured(clients: Clients) -> Callable[[str], list[str]]:
    """Counts what a request asks of AWS."""

    def measured(name: str) -> list[str]:
        asked: list[Asked] = []
        ask = CASES[name](somebody())
        with recording(clients, asked):
            ask()
        calls = [each for each in asked if not each.signed]
        puts = [each for each in calls if re.match(LIKE_PUT, each.operation)]
        in_s3 = [each for each in puts if each.service == "s3"]
        counts = sum(map(reads, calls)), sum(map(writes, calls)), len(in_s3)
        return [str(count) for count in counts]

    return measured


def reads(call: Asked) -> int:
    """How many items, or pages of them, DynamoDB is asked for."""
    if call.operation == "BatchGetItem":
        return sum(len(each["Keys"]) for each in call.parameters["RequestItems"].values())
    return call.operation in {"GetItem", "Query"}


def writes(call: Asked) -> int:
    """How many items DynamoDB is to write; in a transaction each counts twice."""
    if call.operation == "TransactWriteItems":
        return 2 * len(call.parameters["TransactItems"])
    return call.operation in {"PutItem", "UpdateItem", "DeleteItem"}


@pytest.mark.parametrize("name", rows("Costs"))
def test_what_a_request_costs_is_what_it_asks_of_aws(
    name: str, measured: Callable[[str], list[str]]
) -> None:
    assert rows("Costs")[name] == measured(name)
