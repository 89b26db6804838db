"""Chalice's own commands, which know nothing of what comes before and after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.stages import Stage

# What does it all, from the beginning; or in place of what is not to be done by itself.
WHOLE = {
    "deploy": "{stage} was never provisioned, so first comes make deploy STAGE={stage}",
    "package": "{stage} was never provisioned, so first comes make deploy STAGE={stage}; "
    "make package STAGE={stage} needs nothing before it",
    "delete": "it would keep the logs for ever, so use make destroy STAGE={stage}",
}


def check() -> None:
    """Leave, with a line that says why, where the command under way is not to be run by itself.

    One that deploys is followed by what Chalice cannot set.
    """
    if "chalice.cli" not in sys.modules:
        return
    import click

    under_way = click.get_current_context(silent=True)
    command = under_way.info_name if under_way else None
    if under_way is None or command not in WHOLE:
        return
    # Only now, since nothing else that imports the app is in need of it.
    from ops.stages import Stage

    with _in_a_line(command):
        stage = Stage(under_way.params["stage"], Path(under_way.obj["project_dir"]))
        if command == "delete" or not stage.is_provisioned():
            sys.exit(f"chalice {command}: {WHOLE[command].format(stage=stage.name)}")
    if command == "deploy":
        if profile := under_way.params["profile"]:
            os.environ["AWS_PROFILE"] = profile
        under_way.with_resource(_whole(stage))


@contextmanager
def _whole(stage: Stage) -> Iterator[None]:
    """Look before the deployment whose the stage is; if it went well, set what Chalice cannot."""
    import boto3

    from ops import finish, record

    with _in_a_line("deploy"):
        record.check_deployable(boto3.session.Session(), stage)
    yield
    with _in_a_line("deploy"):
        finish.finish(stage)


@contextmanager
def _in_a_line(command: str) -> Iterator[None]:
    """Leave with what is refused."""
    from ops.stages import Refused, plainly

    try:
        with plainly():
            yield
    except Refused as refusal:
        sys.exit(f"chalice {command}: {refusal}")
