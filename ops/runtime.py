"""Whether this Python will do for Lambda, which runs the app by the one that deploys it."""

from __future__ import annotations

import sys

import boto3

from chalicelib.aws.clients import leads_to_aws

# Below it Lambda's runtime writes each character beyond ASCII as an escape: a page of notes in
# emoji is 11 MB, and an answer has 6 MB at most.
OLDEST = (3, 12)


def complaint(version: tuple[int, ...] = sys.version_info[:3]) -> str | None:
    """Why a Python of that version will not do; None if it will."""
    if version >= OLDEST:
        return None
    made_by, wanted = (".".join(map(str, each[:2])) for each in (version, OLDEST))
    return (
        f"Python {made_by} makes answers that are too large for Lambda, which runs what deploys "
        f"it: make clean, then make setup PYTHON=python{wanted}"
    )


def leads_elsewhere() -> bool:
    """Whether botocore is told of another place than AWS, where nothing is to be spoilt."""
    session = boto3.session.Session()
    # Where functions are is where the rest is, and any region tells.
    client = session.client("lambda", region_name=session.region_name or "us-east-1")
    return not leads_to_aws(client)
