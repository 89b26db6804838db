"""The house stands as docs/architecture.md draws it: who imports whom, and what importing does."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import ROOT

_GROUND = {"deadline", "errors", "models", "settings", "telemetry", "chalicelib"}
_AWS = {"aws", "aws.dynamodb", "aws.s3"}
_CORE = {
    *("core.accounts", "core.accounts.attempts", "core.recordings", "core.upkeep"),
    *("core.ports", "core.ids"),
}
_APP = {"app", "api", "api.web", "api.http", "api.problems", "jobs", "wiring"}
_APP |= {"sound", *_AWS, *_GROUND}
# The rooms from top to bottom, those of chalicelib without its name; each with the rooms that its
# modules may import besides their own. A module is in the last room here that its name begins with.
HOUSE: dict[str, set[str]] = {
    "tests": {
        *(*_APP, *_CORE, "providers", "tests.support", "ops", "ops.audit"),
        *("local", "local.bare", "local.embedded", "local.in_process", "local.provider"),
    },
    "tests.support": {
        *_APP,
        "core.ids",
        "core.recordings",
        "ops.audit",
        "local.embedded",
        "local.provider",
    },
    "benchmarks": _APP,
    "examples": set(),
    "local": {
        *("app", "api", "api.problems", "wiring", "ops"),
        *("local.embedded", "local.provider", "local.schedules"),
        *_GROUND,
    },
    # It alone knows something that is not packaged, which it imports late.
    "app": {
        *("api", "api.problems", "jobs", "models", "settings", "wiring"),
        *("local.bare", "local.in_process"),
    },
    "local.bare": {"ops"},
    "ops": {
        "api.problems",
        "wiring",
        "core.accounts",
        "core.recordings",
        "core.ports",
        *_AWS,
        *_GROUND,
    },
    "ops.audit": {"wiring", "core.ports", *_AWS, *_GROUND},
    "local.in_process": {"local.embedded", "local.schedules"},
    "local.schedules": {"jobs", "settings", "wiring"},
    "api": {"api.web", "api.http", "api.problems", "wiring", *_GROUND},
    "api.web": {"api.http", "errors", "models"},
    "api.http": {"api.parsing", "api.problems", "wiring", *_GROUND},
    "api.parsing": {"errors", "models"},
    "api.problems": {"errors", "models"},
    "jobs": {"wiring", *_GROUND},
    "wiring": {"sound", *_CORE, *_AWS, "providers", *_GROUND},
    "core": set(),
    "core.upkeep": {"core.recordings", "core.ports", *_GROUND},
    "core.accounts": {"core.accounts.attempts", "core.ports", *_GROUND},
    "core.recordings": {"core.accounts.attempts", "core.ports", *_GROUND},
    "core.accounts.attempts": {"core.ports", *_GROUND},
    "core.ports": {"models"},
    "core.ids": {"models"},
    "aws.dynamodb": {"aws", *_GROUND},
    "aws.s3": {"aws", *_GROUND},
    "aws": _GROUND,
    "providers": _GROUND,
    "sound": _GROUND,
    "settings": {"models"},
    "errors": {"models"},
    "deadline": set(),
    "telemetry": set(),
    "models": set(),
    "chalicelib": set(),
    # What it stands in for knows nothing of this app.
    "local.provider": set(),
    # It serves any app that speaks to AWS, and knows nothing of this one.
    "local.embedded": set(),
}
# What Lambda brings, and what Chalice packages itself.
BROUGHT = {"boto3", "botocore", "chalice"}
# What one function has in a layer.
IN_THE_LAYER = {"av"}


class Import(NamedTuple):
    """One module importing another."""

    by: str
    of: str
    at_runtime: bool = True
    inside_a_function: bool = False

    def __str__(self) -> str:
        return f"{self.by} imports {self.of}"


def module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(name: str) -> str | None:
    """The part of the house that a module is in; None for a package of somebody else's."""
    name = name.removeprefix("chalicelib.").replace("tests.conftest", "tests.support.conftest")
    rooms = [room for room in HOUSE if f"{name}.".startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


def imports(node: ast.AST, found: Import) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (found._replace(of=alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{found.by} imports relatively"
            yield from (found._replace(of=_meant(child, alias.name)) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(child, found._replace(inside_a_function=True))
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports(child, found._replace(at_runtime=False))
        else:
            yield from imports(child, found)


def _meant(node: ast.ImportFrom, name: str) -> str:
    """`from chalicelib import errors` is of chalicelib.errors, but a class is of its module."""
    whole = f"{node.module}.{name}"
    path = ROOT / whole.replace(".", "/")
    return whole if path.with_suffix(".py").exists() or path.is_dir() else str(node.module)


SOURCES = {
    module(file): ast.parse(file.read_bytes())
    for each in ("app.py", "chalicelib", "ops", "local", "benchmarks", "examples", "tests")
    for file in ([ROOT / each] if each == "app.py" else (ROOT / each).rglob("*.py"))
}
PACKAGED = [name for name in SOURCES if name == "app" or name.startswith("chalicelib")]
IMPORTS = [each for name, source in SOURCES.items() for each in imports(source, Import(name, ""))]
OF_WHAT_IS_PACKAGED = [each for each in IMPORTS if each.by in PACKAGED]


def package(name: str) -> str:
    return name.partition(".")[0]


def foreign(by: str) -> set[str]:
    """The packages of others that one floor of chalicelib imports."""
    found = {package(each.of) for each in IMPORTS if f"{each.by}.".startswith(f"chalicelib.{by}.")}
    return found - sys.stdlib_module_names - {"chalicelib"}


def assert_none(wrong: Iterable[object]) -> None:
    """Fail by naming them, if there are any."""
    named = [*map(str, wrong)]
    assert not named, "\n".join(named)


# Who imports whom


def test_every_module_has_a_room() -> None:
    assert len(PACKAGED) > 50
    assert_none(name for name in SOURCES if room(name) is None)


def test_every_arrow_of_the_house_points_down() -> None:
    order = list(HOUSE)

    assert_none(
        f"{above} may import {below}"
        for above, rooms in HOUSE.items()
        for below in rooms
        if order.index(below) <= order.index(above)
    )


def test_a_module_imports_only_what_its_room_may() -> None:
    within = [(each, str(room(each.by)), room(each.of)) for each in IMPORTS]

    assert_none(each for each, by, of in within if of is not None and of not in {by, *HOUSE[by]})


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph: dict[str, set[str]] = {name: set() for name in SOURCES}
    for each in IMPORTS:
        if each.at_runtime and each.of in graph and each.of != each.by:
            graph[each.by].add(each.of)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


def test_only_the_app_knows_what_is_for_a_developers_machine_and_late() -> None:
    of_local = [each for each in OF_WHAT_IS_PACKAGED if package(each.of) == "local"]

    assert {str(each) for each in of_local} == {
        "app imports local.bare",
        "app imports local.in_process",
    }
    assert all(each.inside_a_function for each in of_local)


def test_core_knows_only_what_the_product_is_made_of() -> None:
    assert foreign("core") <= {"bcrypt", "jwt", "msgspec", "zxcvbn"}


@pytest.mark.parametrize(
    ("packages", "who"),
    [({"chalice"}, {"app", "api", "jobs"}), ({"boto3", "botocore"}, {"aws"})],
    ids=["chalice", "boto"],
)
def test_only_the_doors_know_chalice_and_only_aws_boto(packages: set[str], who: set[str]) -> None:
    known = [each for each in OF_WHAT_IS_PACKAGED if package(each.of) in packages]

    assert known
    assert_none(each for each in known if package(str(room(each.by))) not in who)


def test_only_settings_reads_the_environment() -> None:
    readers = {
        name
        for name in PACKAGED
        for node in ast.walk(SOURCES[name])
        for said in ("attr", "id", "name")
        if re.fullmatch("(environb?|(get|put|unset)envb?)", str(getattr(node, said, "")))
    }

    assert readers == {"chalicelib.settings"}


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
        reads.append(os.path.relpath(file, root))
    return read(self, key)
os._Environ.__getitem__ = watched
before = dict(os.environ)
for module in modules:
    __import__(module)
print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "calls": calls,
    "reads": sorted(set(reads)),
    "altered": dict(os.environ) != before,
}))
"""
NOTHING = {"threads": 1, "calls": [], "reads": [], "altered": False}


@functools.cache
def importing(*modules: str) -> dict[str, Any]:
    """What a fresh process does as it imports these modules."""
    # Variables that cannot be used: whoever reads them as it is imported fails.
    unusable = {"RECORDER_BCRYPT_COST": "nonsense", "AWS_PROFILE": "nonsense"}
    environ = {"PATH": ""} | ({} if "app" in modules else unusable)
    command = [sys.executable, "-c", WATCHED, f"{ROOT}/", *modules]
    run = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    done: dict[str, Any] = json.loads(run.stdout)
    return done


def test_importing_our_modules_has_no_effects() -> None:
    done = importing(*(name for name in PACKAGED if name != "app"))

    assert {name: done[name] for name in NOTHING} == NOTHING


def test_importing_the_app_reads_the_settings_and_nothing_more() -> None:
    done = importing("app")

    assert {name: done[name] for name in NOTHING} == NOTHING | {"reads": ["chalicelib/settings.py"]}


def test_what_only_a_sign_up_needs_is_not_imported_at_the_start() -> None:
    slow = {"av", "chalicelib.sound", "dns", "email_validator", "idna", "zxcvbn"}

    assert slow.intersection(importing("app")["modules"]) == set()


def test_what_only_google_and_apple_need_is_not_imported_at_the_start() -> None:
    late = {"chalicelib.core.accounts.id_tokens", "chalicelib.providers"}

    assert late.intersection(importing("app")["modules"]) == set()


# What Lambda is given


def test_requirements_are_what_the_code_imports() -> None:
    distributions = packages_distributions()
    imported = {package(each.of) for each in OF_WHAT_IS_PACKAGED if each.at_runtime}
    others = imported - sys.stdlib_module_names - {"app", "chalicelib", "local"} - BROUGHT
    needed = {name.lower() for package in others - IN_THE_LAYER for name in distributions[package]}

    assert required("requirements.in") == needed


def test_only_the_process_that_listens_knows_what_the_layer_has() -> None:
    knowing = [each for each in OF_WHAT_IS_PACKAGED if package(each.of) in IN_THE_LAYER]

    assert {each.by for each in knowing} == {"chalicelib.sound.listener"}
    assert all(each.inside_a_function for each in knowing if each.at_runtime)
    assert required("requirements-layer.in") == IN_THE_LAYER


def required(file: str) -> set[str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    named = [re.split("[<>=~]", line)[0] for line in lines if not line.startswith("#")]
    return {name.lower() for name in named}
