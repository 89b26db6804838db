"""Operators, who have exactly the rights that docs/operations.md gives them."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.deployed.emulator import ACCOUNT, REGION, Emulator, Identity
from tests.deployed.stages import STAGE
from tests.support import ROOT

TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/recorder-{STAGE}"
BUCKETS = {
    name: f"arn:aws:s3:::recorder-{STAGE}-{name}-{ACCOUNT}-{REGION}"
    for name in ("uploads", "recordings")
}
LOG = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/recorder-{STAGE}"
# What the tables of rights call things, each with what is in it.
THINGS = {
    "the table": [TABLE, f"{TABLE}/index/*"],
    "the uploads bucket": [BUCKETS["uploads"]],
    "the recordings bucket": [BUCKETS["recordings"]],
    "`/aws/lambda/recorder-<stage>`": [LOG, f"{LOG}:*"],
    "the event bus `default`": [f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"],
    **{
        f"the secret `recorder-<stage>-{name}`": [
            f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:recorder-{STAGE}-{name}*"
        ]
        for name in ("jwt-keys", "apple")
    },
}
INSIDE = re.compile(r"; on (its objects|`(?P<prefix>[\w/*]+)` in it) ")
ACTION = re.compile(r"`([a-z0-9]+:[A-Za-z]+)`")


def make(emulator: Emulator, name: str, statements: list[dict[str, Any]]) -> Identity:
    """An identity with these rights, and no others."""
    iam = emulator.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": statements}
    iam.put_user_policy(UserName=name, PolicyName="all-it-has", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return Identity(made["AccessKeyId"], made["SecretAccessKey"])


def of_docs(section: str) -> list[dict[str, Any]]:
    """The statements of the table `| on | actions |` in a section."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    _, _, table = found.partition("| on | actions |\n| --- | --- |\n")
    statements = []
    for row in re.findall(r"^\| (.*?) \| (.*) \|$", table.split("\n\n")[0], re.MULTILINE):
        on, actions = row
        thing = next(known for known in THINGS if on.startswith(known))
        of_it, inside, of_its = INSIDE.split(actions)[0], INSIDE.search(actions), ""
        if inside:
            of_its = actions[inside.end() :]
        statements.append(_allowed(ACTION.findall(of_it), THINGS[thing]))
        if inside:
            within = f"{THINGS[thing][0]}/{inside['prefix'] or '*'}"
            statements.append(_allowed(ACTION.findall(of_its), [within]))
    assert statements, f"{section} in docs/operations.md has no table of rights"
    return statements


def _allowed(actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
