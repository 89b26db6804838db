"""The stages, as .chalice/config.json has them, and how an operator's command ends badly."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)

from ops.limits import Limits
from ops.policies import APP, GRANTS

ROOT = Path(__file__).resolve().parent.parent


class Refused(Exception):
    """What was asked for cannot be done; the message says why, in one line."""


class Stage:
    """One deployment."""

    def __init__(self, name: str, project: Path | None = None) -> None:
        """Read what is set for it in a project, this one by default. Refused if it has none."""
        self.name = name
        self.folder = (project or ROOT) / ".chalice"
        self._file = self.folder / "config.json"
        self._config = _read(self._file)
        stages = self._config["stages"]
        if name not in stages:
            known = ", ".join(stages)
            raise Refused(f"STAGE is one of {known}, which {self._file.name} has; not {name!r}")
        self._settings: dict[str, Any] = stages[name]

    @property
    def stack(self) -> str:
        """The name of its stack in CloudFormation."""
        return f"{APP}-{self.name}"

    @property
    def apple_secret(self) -> str:
        """The name of the secret that `make apple-secret` makes."""
        return f"{self.stack}-apple"

    @property
    def log_days(self) -> int:
        """How long its logs are kept."""
        return int(self._setting("log_retention_in_days"))

    @property
    def limits(self) -> Limits:
        """What it may cost. Refused, by the field's name, if they will not do."""
        try:
            return msgspec.convert(self._setting("limits"), Limits)
        except msgspec.ValidationError as error:
            raise Refused(
                f"limits of {self.name} in .chalice/{self._file.name}: {error}; see prod's"
            ) from error

    @property
    def functions(self) -> list[str]:
        """Its functions, as Chalice names them."""
        return list(self._setting("lambda_functions"))

    def is_provisioned(self) -> bool:
        """Whether there is what Chalice begins with. Refused if it is not said where."""
        functions = self._setting("lambda_functions")
        for function in GRANTS:
            if "iam_policy_file" not in functions.get(function, {}):
                raise Refused(
                    f"{self.name} in .chalice/{self._file.name} has no iam_policy_file of "
                    f"{function}; see prod's"
                )
        policies = [self.folder / each["iam_policy_file"] for each in functions.values()]
        return any("layers" in each for each in functions.values()) and all(
            each.exists() for each in policies
        )

    def set_layer(self, function: str, arn: str) -> None:
        """Give one of its functions a layer, and write that down for Chalice."""
        functions = self._setting("lambda_functions")
        functions[function] = functions[function] | {"layers": [arn]}
        write(self._file, self._config)

    def forget_layers(self) -> None:
        """Have no function of its have a layer."""
        for function in self._setting("lambda_functions").values():
            function.pop("layers", None)
        write(self._file, self._config)

    def _setting(self, name: str) -> Any:
        if name not in self._settings:
            raise Refused(f"{self.name} in .chalice/{self._file.name} has no {name}; see prod's")
        return self._settings[name]

    def environment(self) -> dict[str, str]:
        """The variables of its functions."""
        variables: dict[str, str] = self._settings.get("environment_variables", {})
        return dict(variables)

    def set_environment(self, variables: dict[str, str]) -> None:
        """Set the variables of its functions, and write them down."""
        self._settings["environment_variables"] = variables
        write(self._file, self._config)

    @property
    def record_file(self) -> Path:
        """Where Chalice notes what it made, from the project's folder."""
        return Path(self.folder.name, "deployed", f"{self.name}.json")

    @property
    def record(self) -> list[dict[str, str]]:
        """What Chalice noted of each resource that it made; empty if it made none."""
        file = self.folder.parent / self.record_file
        return _read(file)["resources"] if file.exists() else []

    @record.setter
    def record(self, resources: list[dict[str, str]]) -> None:
        if resources != self.record:
            file = self.folder.parent / self.record_file
            write(file, _read(file) | {"resources": resources})

    def deployed(self, name: str) -> dict[str, str]:
        """What Chalice noted of a resource that it made; empty if it did not make it."""
        return next((each for each in self.record if each["name"] == name), {})


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def write(file: Path, document: Any) -> None:
    """Write a document as JSON: all of it or nothing, and nothing if it is what is there."""
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what AWS and botocore refuse into Refused."""
    try:
        yield
    except NoCredentialsError as error:
        raise Refused("AWS is not told who you are: set AWS_PROFILE, or log in") from error
    except NoRegionError as error:
        raise Refused("AWS is not told where: set AWS_DEFAULT_REGION") from error
    except ProfileNotFound as error:
        raise Refused(f"{error}; AWS_PROFILE names it") from error
    except (BotoCoreError, ClientError) as error:
        raise Refused(str(error)) from error


def carry_out(
    parser: argparse.ArgumentParser,
    what: Callable[[Stage, argparse.Namespace], None],
    arguments: list[str] | None = None,
) -> int:
    """Do what a command is for; its exit code: 0, 1 if that failed, 2 if it was asked wrongly."""
    parser.add_argument("--stage", required=True, help="a stage of .chalice/config.json")
    given = parser.parse_args(arguments)
    try:
        stage = Stage(given.stage)
    except Refused as refusal:
        parser.error(str(refusal))
    try:
        with plainly():
            what(stage, given)
    except Refused as refusal:
        print(f"{parser.prog}: {refusal}", file=sys.stderr)
        return 1
    return 0
