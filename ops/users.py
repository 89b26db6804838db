"""Acts on one user, for operators: `make user ARGS='find ann@example.com'`.

WHO is an address, an id, or a link or its code, which somebody has reported. What there is of them
goes to the standard output, as JSON. That it was asked for, and by whom, goes into the stage's log
before anything is done.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import boto3
from msgspec import Struct

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.accounts import AccountsTable
from chalicelib.aws.dynamodb.items import OPEN, account_key, timestamp
from chalicelib.aws.dynamodb.links import LinksTable
from chalicelib.aws.dynamodb.table import Table
from chalicelib.core.accounts.closing import Closing
from chalicelib.core.ports import Clock
from chalicelib.errors import RecorderError
from chalicelib.models import link_codes
from chalicelib.models.entities import Account, ClosedAccount, Link
from chalicelib.models.fields import PROVIDERS
from chalicelib.settings import Settings, SettingsError, load
from chalicelib.wiring import Services, now
from ops.policies import name_in_lambda
from ops.runtime import leads_elsewhere
from ops.stacks import typed
from ops.stages import Refused, plainly

DONE, NOBODY, FAILED = range(3)
# In the API's own log, where whoever looks into an account looks anyway.
LOG_STREAM = "operators"
# us-east-1, end of 2025, in dollars a month: S3 Standard, and DynamoDB with its recovery.
A_GB_IN_S3 = 0.023
A_GB_IN_THE_TABLE = 0.25 + 0.20
# A usual item of 1 KB, and its copies in two indexes.
BYTES_OF_AN_ITEM = 3_000
GB = 1_000_000_000


class Users(Struct, frozen=True):
    """What operators do to a user; each can be repeated."""

    table: Table
    accounts: AccountsTable
    links: LinksTable
    closing: Closing
    clock: Clock

    def find(self, who: str) -> Account | ClosedAccount | None:
        """The account of an address or an id."""
        user_id = self.accounts.owner_of(who) if "@" in who else who.lower()
        if not user_id:
            return None
        return self.accounts.find(user_id) or self.accounts.find_closed(user_id)

    def link(self, who: str) -> Link | None:
        """The link of this code or address, if it is one."""
        code = link_codes.read(who.rstrip("/").rpartition("/")[2])
        return self.links.find(code, None, self.clock())[0] if code else None

    def take_back(self, _: Account, link: Link | None) -> None:
        """Have a link open nothing any more. Refused for what is none."""
        if link is None:
            raise Refused("that is no link")
        self.links.remove([link])

    def suspend(self, account: Account, _: Link | None) -> None:
        """Let nobody in to the account. Whoever is in is out with the next request."""
        if not account.suspended_at:
            self._set(account, self.clock())

    def lift(self, account: Account, _: Link | None) -> None:
        """Let its user in again, in the sessions that they had too."""
        self._set(account, None)

    def close(self, account: Account, _: Link | None) -> None:
        """Delete the account as `DELETE /me` does. Refused unless somebody types its id."""
        if not typed(account.id):
            raise Refused("nothing was changed")
        self.closing.end(account)

    def described(self, found: Account | ClosedAccount) -> dict[str, object]:
        """What there is of somebody, and what that costs a month."""
        if isinstance(found, ClosedAccount):
            return {"id": found.id, "state": "closed", "closed_at": found.closed_at}
        sessions = self.accounts.sessions(found.id, found.password_version, self.clock())
        stored = found.bytes_used / GB * A_GB_IN_S3
        listed = found.recordings_used * BYTES_OF_AN_ITEM / GB * A_GB_IN_THE_TABLE
        return {
            "id": found.id,
            "state": "suspended" if found.suspended_at else "open",
            "suspended_at": found.suspended_at,
            "email": found.email,
            "email_confirmed": found.email_confirmed_at is not None,
            "sign_in": found.ways(PROVIDERS),
            "created_at": found.created_at,
            "recordings": found.recordings_used,
            "bytes": found.bytes_used,
            "sessions": len(sessions),
            "dollars_a_month": round(stored + listed, 4),
        }

    def _set(self, account: Account, suspended_at: datetime | None) -> None:
        at = suspended_at and timestamp(suspended_at)
        self.table.try_update(account_key(account.id), {"suspended_at": at}, OPEN)


# Each is told whose account it is, and the link that it was found by.
ACTIONS: dict[str, Callable[[Users, Account, Link | None], None]] = {
    "find": lambda _users, _account, _link: None,
    "suspend": Users.suspend,
    "lift": Users.lift,
    "close": Users.close,
    "take-back": Users.take_back,
}


def main(
    arguments: Sequence[str] | None = None, clients: Clients | None = None, clock: Clock = now
) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    try:
        settings = load()
        if settings.backend != "aws":
            return _failed("RECORDER_BACKEND is not aws: there is nobody to act on")
        clients = clients or Clients(custom_s3=bool(settings.s3_endpoint))
        with plainly():
            return _act(options, settings, clients, clock)
    except (SettingsError, Refused) as error:
        return _failed(str(error))
    except RecorderError as error:
        return _failed(f"{error.detail} ({error.__cause__})")


def _act(options: argparse.Namespace, settings: Settings, clients: Clients, clock: Clock) -> int:
    table = Table(lambda: clients.dynamodb, settings.table)
    closing = Services(settings, clock, clients).closing
    users = Users(table, AccountsTable(table), LinksTable(table), closing, clock)
    link = users.link(options.who)
    found = users.find(link.user_id if link else options.who)
    asked = {"action": options.action, "user": found.id if found else None, "why": options.why}
    if link:
        asked["recording"] = link.recording_id
    _note(clients.session, settings.stage, clock(), asked)
    if isinstance(found, ClosedAccount) and options.action not in {"find", "close"}:
        raise Refused("the account is closed")
    if isinstance(found, Account) and options.action != "find":
        ACTIONS[options.action](users, found, link)
        found = users.find(found.id)
    if found is None:
        sys.stderr.write("user: nobody has that address, id or link\n")
        return NOBODY
    print(json.dumps(users.described(found), default=str))
    return DONE


def _note(
    session: boto3.session.Session, stage: str, at: datetime, asked: dict[str, str | None]
) -> None:
    """Write a line, with who it is that asks: here, and on AWS into the stage's log."""
    on_aws = not leads_elsewhere()
    by = session.client("sts").get_caller_identity()["Arn"] if on_aws else getpass.getuser()
    line = json.dumps(
        {"time": at.isoformat(timespec="milliseconds"), "level": "INFO", "stage": stage}
        | asked
        | {"by": by}
    )
    sys.stderr.write(line + "\n")
    if on_aws:
        logs = session.client("logs")
        where = {
            "logGroupName": f"/aws/lambda/{name_in_lambda('api_handler', stage)}",
            "logStreamName": LOG_STREAM,
        }
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(**where)
        event = {"timestamp": int(at.timestamp() * 1000), "message": line}
        logs.put_log_events(**where, logEvents=[event])


def _failed(why: str) -> int:
    sys.stderr.write(f"user: it could not be done: {why}\n")
    return FAILED


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.users",
        description="Finds a user, and acts on their account.",
        epilog="Exit code: 0 it is done, 1 there is nobody like that, 2 it could not be done.",
    )
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("who", help="an address, an id or a link")
    parser.add_argument("--why", help="what goes into the log with it, such as a ticket's number")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
