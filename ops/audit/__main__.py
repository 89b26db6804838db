"""The audit, for operators: `python -m chalicelib.audit --help`; docs/operations.md explains it.

What it finds goes to the standard output, a JSON object on each line, as soon as it is found.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from chalicelib import settings
from chalicelib.core.audit import Finding, Remedy, Tally
from chalicelib.errors import RecorderError
from chalicelib.settings import SettingsError
from chalicelib.wiring import services

CLEAN, BREACHES, FAILED = range(3)

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    try:
        if settings.load().backend != "aws":
            return _failed("RECORDER_BACKEND is not aws: there is nothing to look at")
        return _audit(repair=options.repair, checksums=options.checksums)
    except SettingsError as error:
        return _failed(str(error))
    except RecorderError as error:
        return _failed(f"{error.detail} ({error.__cause__})")
    except Exception:
        # Python's own exit code for it would say that there are breaches.
        log.exception("audit: it could not be finished")
        return FAILED


def _audit(*, repair: bool, checksums: bool) -> int:
    breaches, tally = 0, Tally()
    for finding in services().audit.run(tally, checksums=checksums):
        breaches += finding.rule != "note"
        _say(finding)
        if repair and finding.remedy:
            _repair(finding, finding.remedy)
    sys.stderr.write(
        f"audit: {breaches} breaches; looked at {tally.recordings} recordings in "
        f"{tally.accounts} accounts\n"
    )
    return BREACHES if breaches else CLEAN


def _repair(finding: Finding, remedy: Remedy) -> None:
    try:
        repaired = remedy.write()
        says = "Done" if repaired else "It has changed meanwhile; run the audit again"
    except RecorderError as error:
        repaired, says = False, error.detail
    _line(rule=finding.rule, key=finding.key, repaired=repaired, says=says)


def _say(finding: Finding) -> None:
    repair = {"repair": finding.remedy.says} if finding.remedy else {}
    _line(rule=finding.rule, key=finding.key, says=finding.says, **repair)


def _line(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    # Before the next step is taken: each line is to be true of a run that ends here.
    sys.stdout.flush()


def _failed(why: str) -> int:
    sys.stderr.write(f"audit: it could not be finished: {why}\n")
    return FAILED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chalicelib.audit",
        description="Looks for recordings that are lost and objects that are left behind.",
        epilog="Exit code: 0 all is well, 1 there are breaches, 2 it could not be finished.",
    )
    parser.add_argument(
        "--repair", action="store_true", help="do what is said as `repair`; nothing is deleted"
    )
    parser.add_argument(
        "--checksums", action="store_true", help="ask S3 for each SHA-256 too: a call for each"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
