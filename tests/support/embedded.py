"""The embedded backend in a process of its own, as `make run` has it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from chalicelib.aws.s3.signing import Signer
from tests.support import ROOT


@dataclass
class Embedded:
    """A backend that runs, and who may ask it."""

    environment: dict[str, str]

    @property
    def url(self) -> str:
        return self.environment["AWS_ENDPOINT_URL_S3"]

    @property
    def uploads(self) -> str:
        return self.environment["RECORDER_UPLOADS_BUCKET"]

    @property
    def recordings(self) -> str:
        return self.environment["RECORDER_RECORDINGS_BUCKET"]

    @cached_property
    def session(self) -> boto3.session.Session:
        return self.with_secret(self.environment["AWS_SECRET_ACCESS_KEY"])

    def with_secret(self, secret: str) -> boto3.session.Session:
        """A session of somebody who has this secret."""
        return boto3.session.Session("local", secret, region_name=self.environment["AWS_REGION"])

    @cached_property
    def signer(self) -> Signer:
        return Signer(lambda: self.session, self.url)

    @cached_property
    def s3(self) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return self.session.client("s3", endpoint_url=self.url, config=config)

    @cached_property
    def dynamodb(self) -> Any:
        return self.session.client("dynamodb", endpoint_url=self.url)


@contextmanager
def embedded(data: Path | str = "memory") -> Iterator[Embedded]:
    """Run a backend over the data in a folder, and end it in good order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.embedded", str(data)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process:
        yield Embedded(json.loads(process.stdout.readline()))
