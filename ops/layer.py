"""Makes the layer that the function `listen` has: FFmpeg's libraries, which nothing else needs.

It is part of `make deploy`, before `chalice deploy`: what requirements-layer.txt pins is installed
for Lambda, by its hashes, and published if the newest version of the layer is made of anything
else. Its ARN goes into .chalice/config.json, where Chalice looks for it.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

from ops import zips
from ops.stages import ROOT, Refused, Stage, carry_out

FUNCTION = "listen"
PINNED = "requirements-layer.txt"
# Where Lambda looks for Python's packages in a layer.
IN_LAYER = "python"
IN_LAMBDA = "/opt"
# What Lambda's machines are: Amazon Linux 2023 has a newer glibc.
PLATFORM = "x86_64-manylinux_2_28"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def main(arguments: list[str] | None = None) -> int:
    """Publish, and return the process's exit code."""
    parser = argparse.ArgumentParser(prog="make deploy")
    return carry_out(parser, lambda stage, _: publish(stage), arguments)


def name_of(stage: str) -> str:
    """What the layer of a stage is called."""
    return f"recorder-{stage}-ffmpeg"


def publish(stage: Stage) -> None:
    """Have the function's layer be what is pinned."""
    client = boto3.session.Session().client("lambda")
    versions = client.list_layer_versions(LayerName=name_of(stage.name))["LayerVersions"]
    there = {each.get("Description"): each["LayerVersionArn"] for each in versions}
    if _made_of() not in there:
        published = client.publish_layer_version(
            LayerName=name_of(stage.name),
            Description=_made_of(),
            Content={"ZipFile": built(ROOT / "out").read_bytes()},
            CompatibleRuntimes=[f"python{PYTHON}"],
        )
        there[_made_of()] = published["LayerVersionArn"]
        print(f"{stage.stack}: published {published['LayerVersionArn']}")
    stage.set_layer(FUNCTION, there[_made_of()])


def forget(stage: Stage) -> None:
    """Delete every version of the layer that there still is."""
    client = boto3.session.Session().client("lambda")
    name = name_of(stage.name)
    pages = client.get_paginator("list_layer_versions").paginate(LayerName=name)
    for version in [each["Version"] for page in pages for each in page["LayerVersions"]]:
        client.delete_layer_version(LayerName=name, VersionNumber=version)
    stage.forget_layers()


def built(folder: Path) -> Path:
    """The layer's code, in a file there; one that is made of the same is taken as it is.

    Refused if what is pinned cannot be had.
    """
    file = folder / f"layer-{_made_of()[:12]}.zip"
    if file.exists():
        return file
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        packages = Path(made, IN_LAYER)
        command = [
            *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"),
            *("--target", str(packages), "--no-deps", "--only-binary", ":all:"),
            *("--python-platform", PLATFORM, "--python-version", PYTHON),
            *("--require-hashes", "-r", str(ROOT / PINNED)),
        ]
        ran = subprocess.run(  # noqa: S603 - the tool of our own environment, and no shell
            command, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise Refused(f"{PINNED} cannot be installed for Lambda: {ran.stderr.strip()}")
        # What uv and the wheel leave beside the packages.
        (packages / ".lock").unlink(missing_ok=True)
        shutil.rmtree(packages / "bin", ignore_errors=True)
        zips.zipped(Path(made), file, IN_LAMBDA)
    return file


def _made_of() -> str:
    """What tells one layer from another: its pins, and the Python that it is for."""
    pins = (ROOT / PINNED).read_bytes()
    return hashlib.sha256(pins + PYTHON.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
