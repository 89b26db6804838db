"""Chalice's own commands, and what comes before and after them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chalice.cli  # noqa: F401 - which is how a command of Chalice's is known
import click
import pytest

from local import bare
from ops import finish, record
from ops.policies import GRANTS
from ops.stages import Refused
from tests.support import ROOT, projects
from tests.support.server import BIN, NOWHERE


class Project:
    """A project's settings, as those of this one are until they are changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / ".chalice"
        self.settings.mkdir()
        self.config = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
        self.write()

    @property
    def functions(self) -> Any:
        """Those of dev."""
        return self.config["stages"]["dev"]["lambda_functions"]

    def write(self) -> None:
        (self.settings / "config.json").write_text(json.dumps(self.config), encoding="utf-8")

    def provision(self) -> None:
        """Have what `chalice deploy` begins with."""
        for function in GRANTS:
            (self.settings / f"policy-dev-{function}.json").touch()
        self.functions["listen"]["layers"] = ["arn:aws:lambda:made-up"]
        self.write()

    @contextmanager
    def running(self, command: str, stage: str = "dev") -> Iterator[None]:
        """One of Chalice's commands, that has just imported the app."""
        context = click.Context(
            click.Command(command), info_name=command, obj={"project_dir": str(self.folder)}
        )
        context.params = {"stage": stage, "profile": None}
        with context:
            bare.check()
            yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done around a command, each on AWS."""
    steps: list[str] = []
    monkeypatch.setattr(record, "check_deployable", lambda *_: steps.append("checked"))
    monkeypatch.setattr(finish, "finish", lambda stage: steps.append(f"finished {stage.name}"))
    return steps


def refused(project: Project, command: str, stage: str = "dev") -> str:
    with pytest.raises(SystemExit) as left, project.running(command, stage):
        pass
    line = str(left.value)
    assert line.startswith(f"chalice {command}: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("command", ["deploy", "package"])
def test_what_was_never_provisioned_says_what_comes_first(project: Project, command: str) -> None:
    said = refused(project, command, "prod")

    assert "prod was never provisioned, so first comes make deploy STAGE=prod" in said


def test_what_has_policies_and_no_layer_is_not_deployed_either(project: Project) -> None:
    project.provision()
    del project.functions["listen"]["layers"]
    project.write()

    assert "so first comes make deploy STAGE=dev" in refused(project, "deploy")


def test_a_stage_that_there_is_not_is_refused(project: Project) -> None:
    assert "STAGE is one of dev, staging, prod" in refused(project, "package", "nowhere")


def test_a_stage_without_its_functions_is_refused(project: Project) -> None:
    del project.config["stages"]["dev"]["lambda_functions"]
    project.write()

    assert "dev in .chalice/config.json has no lambda_functions" in refused(project, "deploy")


@pytest.mark.parametrize("lacking", ["the policy", "the function"])
def test_a_function_without_its_policy_is_refused(project: Project, lacking: str) -> None:
    if lacking == "the policy":
        del project.functions["notice"]["iam_policy_file"]
    else:
        del project.functions["notice"]
    project.write()

    assert "has no iam_policy_file of notice; see prod's" in refused(project, "deploy")


def test_a_deletion_by_itself_is_refused_even_where_there_is_all(project: Project) -> None:
    project.provision()

    assert "so use make destroy STAGE=dev" in refused(project, "delete")


def test_a_deployment_is_checked_first_and_finished(project: Project, done: list[str]) -> None:
    project.provision()

    with project.running("deploy"):
        assert done == ["checked"]

    assert done == ["checked", "finished dev"]


def test_a_deployment_that_failed_is_not_finished(project: Project, done: list[str]) -> None:
    project.provision()

    with pytest.raises(RuntimeError), project.running("deploy"):
        raise RuntimeError("half-way")

    assert done == ["checked"]


@pytest.mark.parametrize("step", ["record.check_deployable", "finish.finish"])
@pytest.mark.usefixtures("done")
def test_what_is_refused_around_a_deployment_is_said_in_a_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: Any) -> None:
        raise Refused("so it is")

    monkeypatch.setattr(f"ops.{step}", refuse)
    project.provision()

    assert refused(project, "deploy") == "chalice deploy: so it is"


def test_what_is_packaged_is_left_as_it_is(project: Project, done: list[str]) -> None:
    project.provision()

    with project.running("package"):
        pass

    assert done == []


@pytest.mark.deep
def test_the_command_itself_says_it_in_a_line(tmp_path: Path) -> None:
    projects.copy_to(tmp_path)
    nobody = {"AWS_ENDPOINT_URL": NOWHERE, "AWS_DEFAULT_REGION": "us-east-1"}
    ran = subprocess.run(
        [BIN / "chalice", "deploy"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **nobody},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert line.startswith("chalice deploy: dev was never provisioned")
