"""Chalice's own commands, in a clone whose stage was never provisioned: says what comes first."""

from __future__ import annotations

import sys

# What makes what they begin with, and does what they do.
INSTEAD = {"deploy": "make deploy", "package": "make package"}


def check() -> None:
    """Leave, with a line that says why, where the command under way would end in a traceback."""
    if "chalice.cli" not in sys.modules:
        return
    import click

    from ops.stages import Refused, Stage

    under_way = click.get_current_context(silent=True)
    if under_way is None or under_way.info_name not in INSTEAD:
        return
    name = under_way.params["stage"]
    try:
        provisioned = Stage(name).is_provisioned
    except Refused as refusal:
        sys.exit(f"chalice {under_way.info_name}: {refusal}")
    if not provisioned:
        sys.exit(
            f"chalice {under_way.info_name}: {name} was never provisioned, so do that first: "
            f"python ops/provision.py --stage {name}. "
            f"{INSTEAD[under_way.info_name]} STAGE={name} does it all"
        )
