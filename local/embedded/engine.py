"""ministack's S3 and DynamoDB, without the rest of it.

ministack is one server for some ninety services, which can be reset and told to run code by whoever
reaches it. Only these two modules of it are used here, behind a server of our own.
"""

from __future__ import annotations

import sys
from types import ModuleType

# What the two read of ministack's server: whether signatures matter.
_server = ModuleType("ministack.app")
setattr(_server, "AUTH", True)  # noqa: B010 - mypy knows no attributes of a module made here
sys.modules.setdefault("ministack.app", _server)

from ministack.core import sigv4  # noqa: E402 - after the above
from ministack.services import dynamodb, s3  # noqa: E402

__all__ = ["dynamodb", "s3", "sigv4"]
