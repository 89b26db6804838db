"""The house stands as docs/architecture.md draws it: who imports whom, and what importing does."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import ROOT

FILES = [ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py"))]
# Whoever stands further down may be imported by whoever stands above; beside each other, nobody.
FLOORS = [
    {"app"},
    {"chalicelib.api", "ops.audit.__main__", "chalicelib.jobs"},
    {"chalicelib.wiring"},
    {"chalicelib.core", "chalicelib.aws"},
    {"chalicelib.deadline", "chalicelib.errors", "chalicelib.settings", "chalicelib.telemetry"},
    {"chalicelib.models"},
    {"chalicelib"},
]
ROOMS = set().union(*FLOORS)
# What Lambda brings, and what Chalice packages itself.
BROUGHT = {"boto3", "botocore", "chalice"}


class Import(NamedTuple):
    """One module importing another."""

    by: str
    of: str
    at_runtime: bool = True
    inside_a_function: bool = False


def module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(name: str) -> str:
    """The part of the house that a module is in."""
    return ".".join(name.split(".")[:2])


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


def imports(node: ast.AST, by: str, found: Import | None = None) -> Iterator[Import]:
    found = found or Import(by, "")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (found._replace(of=alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{by} imports relatively"
            yield from (found._replace(of=_meant(child, alias.name)) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(child, by, found._replace(inside_a_function=True))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports(child, by, found._replace(at_runtime=False))
        else:
            yield from imports(child, by, found)


def _meant(node: ast.ImportFrom, name: str) -> str:
    """`from chalicelib import errors` is of chalicelib.errors, but a class is of its module."""
    whole = f"{node.module}.{name}"
    path = ROOT / whole.replace(".", "/")
    return whole if path.with_suffix(".py").exists() or path.is_dir() else str(node.module)


IMPORTS = [each for file in FILES for each in imports(ast.parse(file.read_bytes()), module(file))]
OURS = [each for each in IMPORTS if each.of.startswith("chalicelib")]


def package(name: str) -> str:
    return name.partition(".")[0]


def importers_of(*packages: str) -> set[str]:
    """The parts of the house that import one of these, or anything in it."""
    return {room(each.by) for each in IMPORTS if package(each.of) in packages}


# Who imports whom


def test_every_module_has_a_place_in_the_house() -> None:
    assert len(FILES) > 15
    assert [
        module(file) for file in FILES if not any(room(module(file)) in f for f in FLOORS)
    ] == []


@pytest.mark.parametrize("each", OURS, ids=lambda each: f"{each.by} of {each.of}")
def test_imports_run_one_way(each: Import) -> None:
    assert room(each.by) == room(each.of) or floor(each.by) < floor(each.of)


def test_core_knows_only_what_the_product_is_made_of() -> None:
    foreign = {
        each.of
        for each in IMPORTS
        if room(each.by) == "chalicelib.core"
        and package(each.of) not in sys.stdlib_module_names
        and room(each.of) not in ROOMS
    }

    assert {package(each) for each in foreign} <= {"bcrypt", "jwt", "msgspec", "zxcvbn"}


def test_only_the_doors_know_chalice() -> None:
    doors = importers_of("chalice")

    assert "app" in doors
    assert doors <= {"app", "chalicelib.api", "chalicelib.jobs"}


def test_only_aws_knows_boto() -> None:
    assert importers_of("boto3", "botocore") == {"chalicelib.aws"}


def test_only_wiring_knows_the_embedded_backend_and_late() -> None:
    of_local = [each for each in IMPORTS if package(each.of) == "local"]

    assert [(each.by, each.of) for each in of_local] == [("chalicelib.wiring", "local.in_process")]
    assert all(each.inside_a_function for each in of_local)


def test_nothing_that_is_packaged_needs_what_is_not() -> None:
    assert importers_of("tests", "ops", "benchmarks", "moto", "pytest") == set()


@pytest.mark.parametrize("file", FILES, ids=module)
def test_only_settings_reads_the_environment(file: Path) -> None:
    source = ast.parse(file.read_bytes())
    named = {
        *(node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute)),
        *(node.id for node in ast.walk(source) if isinstance(node, ast.Name)),
        *(node.name for node in ast.walk(source) if isinstance(node, ast.alias)),
    }
    reads = named & {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

    assert bool(reads) == (module(file) == "chalicelib.settings")


# What importing does

WATCHED = """
import json, os, sys, threading
root, modules = sys.argv[1], sys.argv[2:]
effects = {
    "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.putenv", "os.unsetenv",
    "_thread.start_new_thread",
}
calls, reads = [], []
sys.addaudithook(lambda event, _: calls.append(event) if event in effects else None)
read = os._Environ.__getitem__
passed_through = "os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>"
def watched(self, key):
    frame = sys._getframe(1)
    while frame.f_code.co_filename.endswith(passed_through):
        frame = frame.f_back
    file = frame.f_code.co_filename
    if file.startswith(root) and "site-packages" not in file:
        reads.append([os.path.relpath(file, root), key])
    return read(self, key)
os._Environ.__getitem__ = watched
before = dict(os.environ)
for module in modules:
    __import__(module)
print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "calls": calls,
    "reads": reads,
    "altered": dict(os.environ) != before,
}))
"""


SLOW = {"dns", "email_validator", "idna", "zxcvbn"}


def importing(*modules: str) -> dict[str, object]:
    """What a fresh process does as it imports these modules."""
    # Variables that cannot be used: whoever reads them as it is imported fails.
    environ = {"PATH": "", "RECORDER_BCRYPT_COST": "nonsense", "AWS_PROFILE": "nonsense"}
    if "app" in modules:
        environ = {"PATH": ""}
    command = [sys.executable, "-c", WATCHED, f"{ROOT}/", *modules]
    run = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    done: dict[str, object] = json.loads(run.stdout)
    return done


def test_importing_our_modules_has_no_effects() -> None:
    ours = [module(file) for file in FILES if module(file) != "app"]

    done = importing(*ours)

    done.pop("modules")
    assert done == {"threads": 1, "calls": [], "reads": [], "altered": False}


def test_importing_the_app_reads_the_settings_and_nothing_more() -> None:
    done = importing("app")

    reads = done.pop("reads")
    done.pop("modules")
    assert isinstance(reads, list)
    assert {file for file, _ in reads} == {"chalicelib/settings.py"}
    assert done == {"threads": 1, "calls": [], "altered": False}


def test_what_only_a_sign_up_needs_is_not_imported_at_the_start() -> None:
    imported = importing("app")["modules"]

    assert isinstance(imported, list)
    assert not SLOW.intersection(imported)


# What Lambda is given


def test_requirements_are_what_the_code_imports() -> None:
    distributions = packages_distributions()
    imported = {package(each.of) for each in IMPORTS if each.at_runtime}
    foreign = imported - sys.stdlib_module_names - {"chalicelib", "local"} - BROUGHT
    needed = {name.lower() for package in foreign for name in distributions[package]}

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)
    assert {line.partition("==")[0].lower() for line in pinned} == needed
