"""`make smoke API=…`: drives the main job against any address at which the API is deployed."""

from __future__ import annotations

import argparse
import sys

import httpx

from tests.deployed.main_job import MAIN_JOB, Job, told
from tests.deployed.people import Api
from tests.deployed.steps import say
from tests.support.unwinding import unwinding


def main() -> int:
    """Drive it; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="make smoke")
    parser.add_argument("api", help="where it is, such as https://…amazonaws.com/prod")
    given = parser.parse_args()
    if not given.api.startswith(("https://", "http://")):
        parser.error("API= says where it is, such as API=https://….amazonaws.com/prod")
    job = Job(Api(given.api))
    with unwinding("smoke"):
        try:
            failed = MAIN_JOB.drive(job)
        finally:
            close_all(job.api)
    told(job)
    say(f"\nsmoke: {len(failed)} failed")
    return 1 if failed else 0


def close_all(api: Api) -> None:
    """Close what steps that failed, or were never come to, left open; say what stays so."""
    for person in [*api.accounts]:
        try:
            person.tokens = person.log_in()
            person.close()
        except (AssertionError, httpx.HTTPError) as error:
            say(f"  The account of {person.email} stays open: {error}")


if __name__ == "__main__":
    sys.exit(main())
