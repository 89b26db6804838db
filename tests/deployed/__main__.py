"""`make deployed`: deploys a stage on an emulator, drives it as its users do, and takes it away.

It says what was driven, what failed, and what was not run since this machine lacks something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.provider import Provider
from tests.deployed import emulator, grants
from tests.deployed.again import BY_A_PIPELINE, BY_CHALICE
from tests.deployed.jobs import JOBS, Deployed
from tests.deployed.main_job import MAIN_JOB, Job, it_answers, told
from tests.deployed.providers import PROVIDERS, make_apple_secret
from tests.deployed.stages import Stage
from tests.deployed.steps import Failed, Steps, say
from tests.support.unwinding import unwinding


def main() -> int:
    """Run it; 1 if something failed, and 0 if nothing did, or nothing could be run."""
    parser = argparse.ArgumentParser(prog="make deployed")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--grants", action="store_true", help="take every grant away in turn")
    how.add_argument("--chalice", action="store_true", help="deploy by `make deploy`, and destroy")
    given = parser.parse_args()
    if missing := emulator.missing():
        say(f"make deployed: NOT RUN, since there is no {' and no '.join(missing)} here")
        return 0
    began = time.monotonic()
    try:
        with unwinding("deployed"), prepared() as stage:
            if given.chalice:
                failed = drive(by_make(stage), BY_CHALICE)
            elif given.grants:
                failed = grants.take_away_each(by_make(stage))
            else:
                failed = drive(by_a_pipeline(stage), BY_A_PIPELINE)
    except Failed as failure:
        say(f"deployed: {failure}")
        return 1
    say(f"\ndeployed: {len(failed)} failed, in {time.monotonic() - began:.0f} s")
    for fact in failed:
        say(f"  {fact}")
    return 1 if failed else 0


@contextmanager
def prepared() -> Iterator[Stage]:
    """A stage that is to be deployed, on an emulator that ends with it."""
    provider = Provider()
    with tempfile.TemporaryDirectory() as folder, emulator.running(Path(folder)) as aws:
        provider.serve()
        try:
            stage = Stage(aws, Path(folder, "project"), provider)
            stage.make_project()
            make_apple_secret(stage)
            yield stage
        finally:
            provider.stop()


def by_a_pipeline(stage: Stage) -> Deployed:
    """Deploy as a pipeline does."""
    began = time.monotonic()
    stage.package()
    stage.deploy_package()
    say(f"Deployed by a pipeline, in {time.monotonic() - began:.1f} s")
    return Deployed(stage, stage.api)


def by_make(stage: Stage) -> Deployed:
    """Deploy as `make deploy` does, with all that there can be."""
    began = time.monotonic()
    stage.make("deploy", ARGS="--upload-key on")
    say(f"Deployed by make deploy, in {time.monotonic() - began:.1f} s")
    return Deployed(stage, stage.api)


def drive(on: Deployed, again: Steps[Deployed]) -> list[str]:
    """Drive all of it; what failed."""
    job = Job(on.api)
    it_answers(job)  # While nobody has asked for anything.
    assert on.silent  # From now on.
    failed = MAIN_JOB.drive(job)
    told(job)
    failed += PROVIDERS.drive(on) + JOBS.drive(on)
    if failed:
        say("\nWhat the functions say")
        for fault in on.stage.faults():
            say(f"  {fault[-2000:]}")
    return failed + again.drive(on)


if __name__ == "__main__":
    sys.exit(main())
