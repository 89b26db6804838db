"""Generates clients from the committed document, compiles them, and drives them.

`make clients` runs this. All that it makes and downloads is in out/clients; what is pinned stays
there for the next time. What needs Node, Java or Maven is left out where they are not, and said so.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from chalicelib.models import media_types
from tests.support import ROOT, documented
from tests.support.server import free_port, running
from tests.support.unwinding import unwinding

HERE = Path(__file__).parent
WORK = ROOT / "out" / "clients"
GENERATED = WORK / "generated"
DOCUMENT = ROOT / "docs" / "openapi.json"

GENERATOR = "7.25.0"
GENERATOR_URL = (
    "https://repo1.maven.org/maven2/org/openapitools/openapi-generator-cli/"
    f"{GENERATOR}/openapi-generator-cli-{GENERATOR}.jar"
)
GENERATOR_SHA256 = "41ce4f6b07f196676439d710759fa1ced7a08066d06ff1bf314681470289efae"
# Which options work is said, and why, in docs/clients.md.
OPTIONS: dict[str, list[str]] = {
    "kotlin": [
        "--library=jvm-okhttp4",
        "--additional-properties=serializationLibrary=kotlinx_serialization,"
        "generateOneOfAnyOfWrappers=true",
    ],
    "swift6": [],
    "dart-dio": [],
    "typescript-fetch": [],
}
# What every document of OpenAPI 3.1 is told, and nothing about ours.
ALWAYS_SAID = "OpenAPI 3.1 support is still in beta"


class Failed(Exception):
    """A step did not do what it should; the message is what it printed."""


def main() -> int:
    """Run each step that can be run here; 1 when one failed."""
    began = time.monotonic()
    GENERATED.mkdir(parents=True, exist_ok=True)
    for file in HERE.rglob("*"):
        if file.is_file() and "__" not in file.name:
            target = WORK / file.relative_to(HERE)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
    failed = False
    server = running("make", "run", f"PORT={(port := free_port())}", log=WORK / "log", port=port)
    with unwinding("clients"), server:
        for step, needs in STEPS.items():
            if missing := [tool for tool in needs if not shutil.which(tool)]:
                print(f"{step.__name__}: NOT RUN, since there is no {', '.join(missing)} here")
                continue
            try:
                step(f"http://127.0.0.1:{port}")
            except Failed as error:
                print(f"{step.__name__}: FAILED\n{error}")
                failed = True
            else:
                print(f"{step.__name__}: done after {time.monotonic() - began:.0f} s", flush=True)
    return int(failed)


def python(url: str) -> None:
    """openapi-python-client: generated and driven."""
    venv = WORK / "venv"
    if not (venv / "bin" / "openapi-python-client").exists():
        run(sys.executable, "-m", "venv", str(venv))
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run(*pip, "--require-hashes", "-r", str(HERE / "requirements.txt"))
    config = WORK / "python.json"
    # It sends bytes for one type alone, and is told that each of these is like it.
    overrides = dict.fromkeys(media_types.DIRECT, "application/octet-stream")
    options = {"content_type_overrides": overrides, "literal_enums": True, "post_hooks": []}
    config.write_text(json.dumps(options))
    generate = [str(venv / "bin" / "openapi-python-client"), "generate", "--fail-on-warning"]
    where = ["--path", str(DOCUMENT), "--output-path", str(GENERATED / "python"), "--overwrite"]
    check_silent(run(*generate, *where, "--config", str(config)))
    drive = [str(venv / "bin" / "python"), str(WORK / "drive.py")]
    run(*drive, RECORDER_URL=url, PYTHONPATH=str(GENERATED / "python"))


def openapi_generator(_: str) -> None:
    """The four clients of openapi-generator, generated."""
    jar = WORK / f"openapi-generator-{GENERATOR}.jar"
    if not jar.exists():
        with urllib.request.urlopen(GENERATOR_URL) as answer:  # noqa: S310 - https
            data = answer.read()
        if hashlib.sha256(data).hexdigest() != GENERATOR_SHA256:
            raise Failed(f"{GENERATOR_URL} is not the one that was pinned")
        jar.write_bytes(data)
    for name, options in OPTIONS.items():
        where = ["-i", str(DOCUMENT), "-g", name, "-o", str(GENERATED / name)]
        check_silent(run("java", "-jar", str(jar), "generate", *where, *options, *left_out(name)))


def left_out(name: str) -> list[str]:
    """The option that leaves direct uploads out, of which Dart's generator knows no type."""
    if name != "dart-dio":
        return []
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    names = [each["operationId"] for path in paths.values() for each in path.values()]
    names.remove("uploadDirectly")
    return ["--openapi-normalizer", f"FILTER=operationId:{'|'.join(names)}"]


def typescript(url: str) -> None:
    """openapi-typescript and @hey-api/openapi-ts: generated, compiled as strict, and driven."""
    run("npm", "ci", "--no-audit", "--no-fund")
    bin = WORK / "node_modules" / ".bin"
    schema = str(GENERATED / "schema.ts")
    check_silent(run(str(bin / "openapi-typescript"), str(DOCUMENT), "-o", schema))
    hey_api = ["-i", str(DOCUMENT), "-o", str(GENERATED / "hey-api"), "--no-log-file"]
    check_silent(run(str(bin / "openapi-ts"), *hey_api))
    live = documented.example("Sent while it is recorded:")
    (GENERATED / "live.ts").write_text(live, encoding="utf-8")
    run(str(bin / "tsc"), "-p", str(WORK))
    for script in ("openapi_fetch", "hey_api", "live"):
        run("node", str(WORK / "js" / f"{script}.js"), RECORDER_URL=url)


def kotlin(url: str) -> None:
    """The Kotlin client: compiled and driven."""
    sending = documented.example("What an upload asks for")
    (WORK / "kotlin" / "Sending.kt").write_text(sending, encoding="utf-8")
    run("mvn", "-q", "-B", "-f", str(WORK / "kotlin"), "compile", "exec:java", RECORDER_URL=url)


STEPS: dict[Callable[[str], None], tuple[str, ...]] = {
    python: (),
    openapi_generator: ("java",),
    typescript: ("node", "npm", "java"),
    kotlin: ("java", "mvn"),
}


def run(*command: str, **environ: str) -> str:
    """Run a command in out/clients; what it printed."""
    ended = subprocess.run(
        command,
        cwd=WORK,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise Failed(f"{' '.join(command)}\n{ended.stdout[-4000:]}")
    return ended.stdout


def check_silent(printed: str) -> None:
    """Fail if a generator found anything about the document that it warns of."""
    found = [
        line
        for line in printed.splitlines()
        if re.search(r"\b(warn(ing)?|error)\b", line, re.IGNORECASE)
        and ALWAYS_SAID not in line
        # The name of what it writes.
        and "writing file" not in line
    ]
    if found:
        raise Failed("\n".join(found))


if __name__ == "__main__":
    sys.exit(main())
