"""The audit, for operators: `python -m ops.audit --help`; docs/operations.md explains it.

What it finds goes to the standard output, a JSON object on each line, as soon as it is found.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import msgspec

from chalicelib.aws.clients import Clients
from chalicelib.core.ports import Clock
from chalicelib.errors import RecorderError
from chalicelib.settings import SettingsError, load
from chalicelib.wiring import now
from ops.audit.inventory import Inventory
from ops.audit.search import Audit, Tally

CLEAN, BREACHES, FAILED = range(3)

log = logging.getLogger(__name__)


def main(
    arguments: Sequence[str] | None = None, clients: Clients | None = None, clock: Clock = now
) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    try:
        settings = load()
        if settings.backend != "aws":
            return _failed("RECORDER_BACKEND is not aws: there is nothing to look at")
        clients = clients or Clients(custom_s3=bool(settings.s3_endpoint))
        return _audit(Audit(Inventory(clients, settings), clock), checksums=options.checksums)
    except SettingsError as error:
        return _failed(str(error))
    except RecorderError as error:
        return _failed(f"{error.detail} ({error.__cause__})")
    except Exception:
        # Python's own exit code for it would say that there are breaches.
        log.exception("audit: it could not be finished")
        return FAILED


def _audit(audit: Audit, *, checksums: bool) -> int:
    breaches, tally = 0, Tally()
    for finding in audit.run(tally, checksums=checksums):
        breaches += finding.rule != "note"
        sys.stdout.write(msgspec.json.encode(finding).decode() + "\n")
        # Before the next is looked for: each line is to be true of a run that ends here.
        sys.stdout.flush()
    sys.stderr.write(
        f"audit: {breaches} breaches; looked at {tally.recordings} recordings in "
        f"{tally.accounts} accounts\n"
    )
    return BREACHES if breaches else CLEAN


def _failed(why: str) -> int:
    sys.stderr.write(f"audit: it could not be finished: {why}\n")
    return FAILED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.audit",
        description="Looks for recordings that are lost and objects that are left behind.",
        epilog="Exit code: 0 all is well, 1 there are breaches, 2 it could not be finished.",
    )
    parser.add_argument(
        "--checksums", action="store_true", help="ask S3 for each SHA-256 too: a call for each"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
