"""`make deployed`: deploys a stage on an emulator, drives it as its users do, and takes it away.

It says what was driven, what failed, and what was not run since this machine lacks something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.deployed import emulator
from tests.deployed.again import BY_A_PIPELINE
from tests.deployed.jobs import JOBS, Deployed
from tests.deployed.main_job import MAIN_JOB, Job, told
from tests.deployed.people import Api
from tests.deployed.stages import Stage
from tests.deployed.steps import say


def main() -> int:
    """Run it; 1 if something failed, and 0 if nothing did, or nothing could be run."""
    parser = argparse.ArgumentParser(prog="make deployed")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--grants", action="store_true", help="take every grant away in turn")
    how.add_argument("--chalice", action="store_true", help="deploy by `make deploy`, and destroy")
    given = parser.parse_args()
    if missing := emulator.missing():
        say(f"deployed: nothing was run: there is no {' and no '.join(missing)}")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, emulator.running(Path(folder)) as aws:
        stage = Stage(aws, Path(folder, "project"))
        stage.make_project()
        failed = by_a_pipeline(stage)
    say(f"\ndeployed: {len(failed)} failed, in {time.monotonic() - began:.0f} s")
    for fact in failed:
        say(f"  {fact}")
    return 1 if failed else 0


def by_a_pipeline(stage: Stage) -> list[str]:
    """Deploy as a pipeline does, and drive all of it."""
    began = time.monotonic()
    stage.package()
    stage.deploy_package()
    say(f"Deployed by a pipeline, in {time.monotonic() - began:.1f} s")
    api = Api(stage.url, stage.emulator.trust)
    job, on = Job(api), Deployed(stage, api)
    failed = MAIN_JOB.drive(job)
    told(job)
    failed += JOBS.drive(on)
    if failed:
        say("\nWhat the functions say")
        for fault in stage.faults():
            say(f"  {fault[-2000:]}")
    return failed + BY_A_PIPELINE.drive(on)


if __name__ == "__main__":
    sys.exit(main())
