"""Chalice's own commands, in a clone whose stage was never provisioned: says what comes first."""

from __future__ import annotations

import json
import sys
from pathlib import Path

# What makes what they begin with, and does what they do.
INSTEAD = {"deploy": "make deploy", "package": "make package"}


def check() -> None:
    """Leave, with a line that says why, where the command under way would end in a traceback."""
    if "chalice.cli" not in sys.modules:
        return
    import click

    under_way = click.get_current_context(silent=True)
    if under_way is None or under_way.info_name not in INSTEAD:
        return
    command, stage = under_way.info_name, under_way.params["stage"]
    folder = Path(under_way.obj["project_dir"], ".chalice")
    stages = json.loads((folder / "config.json").read_text(encoding="utf-8"))["stages"]
    if stage not in stages:
        sys.exit(f"chalice {command}: .chalice/config.json has {', '.join(stages)}, not {stage}")
    policies = [each["iam_policy_file"] for each in stages[stage]["lambda_functions"].values()]
    if not all((folder / name).exists() for name in policies):
        sys.exit(
            f"chalice {command}: {stage} was never provisioned, so do that first: "
            f"python ops/provision.py --stage {stage}. {INSTEAD[command]} STAGE={stage} does it all"
        )
