"""AWS, as ministack emulates it, in a process of its own that ends with this one."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests.deployed.steps import Failed
from tests.support import ROOT
from tests.support.server import eventually, free_port

ACCOUNT = "123456789012"
REGION = "us-east-1"
# It takes two; more on a machine that does much else.
START_SECONDS = 90
# What Lambda has besides what is deployed: made once, and again when what is pinned is another.
LAMBDA = ROOT / ".deployed"
PINNED = ROOT / "tests" / "deployed" / "requirements.txt"
OFFLINE = "it needs the network"


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    key: str
    secret: str


@dataclass(frozen=True)
class Emulator:
    """It listens, and nothing is deployed."""

    port: int
    root: Identity
    certificate: Path
    log: Path
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What trusts its certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def environment(self, identity: Identity | None = None) -> dict[str, str]:
        """What leads an operator's command here, and nowhere else, as somebody; else as root."""
        who = identity or self.root
        return {
            "AWS_ACCESS_KEY_ID": who.key,
            "AWS_SECRET_ACCESS_KEY": who.secret,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self, service: Any, identity: Identity | None = None) -> Any:
        """A client of somebody's; else of root's."""
        who = identity or self.root
        return boto3.session.Session(who.key, who.secret, region_name=REGION).client(
            service,
            endpoint_url=self.url,
            verify=str(self.certificate),
            config=Config(
                proxies={}, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
            ),
        )


@contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """Have it run until the end, with whatever it writes in a folder."""
    python = functions_python()
    root = Identity("AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30))
    log, port = folder / "ministack.log", free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "FUNCTIONS_PYTHON": str(python),
        "AUTH": "true",
        "USE_SSL": "1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "AWS_ACCESS_KEY_ID": root.key,
        "AWS_SECRET_ACCESS_KEY": root.secret,
        "LAMBDA_EXECUTOR": "local",
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # It looks for containers of its own, and is to find none of anybody's.
        "DOCKER_HOST": f"unix://{folder}/no-docker",
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.deployed.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            # The functions' processes are in its session, and end with it.
            start_new_session=True,
        )
    assert process.stdin
    process.stdin.write(f"{json.dumps(environ)}\n")
    process.stdin.flush()
    certificate = folder / "ministack-tls" / "server.crt"
    emulator = Emulator(port, root, certificate, log, process)
    try:
        begun = eventually(lambda: process.poll() is not None or _answers(emulator), START_SECONDS)
        assert begun, log.read_text()
        assert process.poll() is None, log.read_text()
        yield emulator
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def missing() -> list[str]:
    """What this machine lacks of what it takes."""
    return [name for name in ("openssl",) if not shutil.which(name)]


def functions_python() -> Path:
    """A Python of the version that packages, with boto3 as Lambda has it, and nothing else."""
    python, note = LAMBDA / "bin" / "python", LAMBDA / "made-of"
    wanted = f"{sys.version}\n{PINNED.read_text()}"
    if not note.exists() or note.read_text() != wanted:
        uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
        base = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([*uv, "venv", "--clear", "--python", base, str(LAMBDA)], check=True)
        install = [*uv, "pip", "install", "--python", str(python), "--require-hashes"]
        ran = subprocess.run([*install, "-r", str(PINNED)], capture_output=True, check=False)
        if ran.returncode:
            why = ran.stderr.decode().strip().splitlines()[-1]
            raise Failed(f"{PINNED.name} could not be installed: {OFFLINE} ({why.strip()})")
        note.write_text(wanted)
    return python


def _answers(emulator: Emulator) -> bool:
    if not emulator.certificate.exists():
        return False
    try:
        url = f"{emulator.url}/_ministack/health"
        return httpx.get(url, verify=emulator.trust, trust_env=False).status_code == 200
    except (httpx.HTTPError, ssl.SSLError):
        return False
