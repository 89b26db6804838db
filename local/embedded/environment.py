"""The environment that leads to the embedded backend, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

REGION = "us-east-1"
ACCESS_KEY = "local"
# Where the server shows the mails.
MAIL = "/_mail"
LOOPBACK = "localhost,127.0.0.1,::1"
# Listening on it means on every address; calling it does not work everywhere.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  compared with, and bound to only if asked for

# What keeps botocore on this machine, whatever is configured here.
ISOLATED = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # Programs differ in which of the two they read.
    "NO_PROXY": LOOPBACK,
    "no_proxy": LOOPBACK,
}


def reachable(host: str) -> str:
    """The address at which this machine reaches what listens on `host`."""
    return "127.0.0.1" if host == EVERY_ADDRESS else host


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    return host == "localhost" or host.startswith("127.")


def apply(environment: Mapping[str, str], target: MutableMapping[str, str]) -> None:
    """Make `target`, which is os.environ or a copy of it, lead to the backend and nowhere else.

    Every AWS_* variable in it goes first: a profile, a session token, an endpoint or a switch of
    this machine's own must not reach the backend's clients. NO_PROXY is added to.
    """
    forget_aws(target)
    bypass = _hosts(environment, target)
    target.update(environment)
    target["NO_PROXY"] = target["no_proxy"] = bypass


def forget_aws(target: MutableMapping[str, str]) -> None:
    """Remove what configures AWS's clients from `target`."""
    for name in [name for name in target if name.startswith("AWS_")]:
        del target[name]


def _hosts(*environments: Mapping[str, str]) -> str:
    """Every host that one of the environments exempts from its proxy."""
    values = [each.get(name, "") for each in environments for name in ("NO_PROXY", "no_proxy")]
    hosts = dict.fromkeys(host.strip() for host in ",".join(values).split(",") if host.strip())
    # It has this meaning only when it stands alone.
    return "*" if "*" in hosts else ",".join(hosts)
