"""What requests cost over 10, 1,000 and 10,000 recordings, of one's own and of others.

`make growth` asks for each on moto, counts the calls to AWS, weighs those to DynamoDB by what its
documentation says, and writes the table in docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib import settings as settings_module
from chalicelib import wiring
from chalicelib.aws.dynamodb.items import due, recording_item
from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.support import ROOT, faster_moto, in_process, shortcut
from tests.support.moto import backend
from tests.support.phone import Phone

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- make growth: begin -->\n", "<!-- make growth: end -->\n"
SIZES = 10, 1_000, 10_000
SOUND = b"some sound"
NOTES = "What was said about the bridge, and by whom."

Ask = Callable[[], object]


def finding(phone: Phone) -> Ask:
    """One of those there are."""
    id = phone.listed()[0]
    return lambda: phone.get(f"/recordings/{id}")


def going_on(phone: Phone) -> Ask:
    """The feed from where it ended a while ago."""
    cursor, more = "", True
    while more:
        query = {"limit": 100} | ({"since": cursor} if cursor else {})
        page = phone.get("/recordings/changes", query=query).json
        cursor, more = page["cursor"], page["more"]
    return lambda: phone.get("/recordings/changes", query={"since": cursor})


def upkeep_of(due_now: int) -> Callable[[Phone], Ask]:
    """A run of upkeep that has so many of others' uploads to end."""

    def prepare(_: Phone) -> Ask:
        then = datetime.now(UTC) - timedelta(hours=1)
        other = Phone().sign_up()
        uploads = [
            recording(other.user_id, "uploading", upload_expires_at=then) for _ in range(due_now)
        ]
        shortcut.put(wiring.services().settings.table, map(recording_item, uploads))
        return wiring.services().upkeep.run

    return prepare


REQUESTS: dict[str, Callable[[Phone], Ask]] = {
    "list, 50": lambda phone: lambda: phone.get("/recordings"),
    "find": finding,
    "announce": lambda phone: lambda: phone.announce(SOUND),
    "changes, the first 50": lambda phone: (
        lambda: phone.get("/recordings/changes", query={"limit": 50})
    ),
    "changes since then": going_on,
    "upkeep, nothing due": upkeep_of(0),
    "upkeep, 10 due": upkeep_of(10),
    "export": lambda phone: phone.export,
}


def recording(user_id: str, status: Any = "ready", **fields: Any) -> Any:
    """A recording as people make them."""
    told = {"notes": NOTES, "tags": ["birds", "river"], "sha256": "a" * 64, "size": 1_000_000}
    named = {"file_name": "A walk along the river, with birds.m4a"}
    return shortcut.recording(user_id, status, **told, **named, **fields)


def keep(user_id: str, count: int) -> None:
    """Have a user keep so many recordings, a third of them in the trash."""
    far = datetime.now(UTC) + timedelta(days=30)
    items = []
    for number in range(count):
        item = recording_item(recording(user_id, "trashed" if number % 3 == 2 else "ready"))
        items.append(item | due(item["id"], far) if item["status"] == "trashed" else item)
    shortcut.put(wiring.services().settings.table, items)


@contextmanager
def moto() -> Iterator[str]:
    """The app in this process, and moto in the place of AWS; the table's name."""
    embedded = backend.start()
    faster_moto.hurry()
    for name in [name for name in os.environ if name.startswith(("AWS_", "RECORDER_"))]:
        del os.environ[name]
    os.environ |= embedded.environment() | {"RECORDER_BCRYPT_COST": "4"}
    with in_process.answering(embedded.url):
        yield settings_module.load().table
    embedded.stop()


def measured(table: str, own: int, others: int) -> dict[str, str]:
    """What each request costs somebody who has so many recordings, beside so many of others."""
    # It imports moto, which is not to happen before the environment is safe.
    from tests.growth.units import Meter

    costs = {}
    for name, prepare in REQUESTS.items():
        wiring._services = services = Services(settings_module.load())
        shortcut._table(table).items.clear()
        phone = Phone().sign_up()
        keep(phone.user_id, own)
        keep(uuid7(), others)
        ask = prepare(phone)
        meter = Meter(table)
        meter.register((services.clients.dynamodb, services.clients.s3))
        begun = time.process_time()
        answer: Any = ask()
        assert getattr(answer, "status", 200) in {200, 201}, answer.text
        costs[name] = f"{meter.calls} / {meter.reads:g} / {meter.writes:g}"
        sys.stderr.write(
            f"{own} {others} {name}: {costs[name]} {time.process_time() - begun:.1f}\n"
        )
    return costs


def main() -> None:
    """Measure, print and write."""
    columns: dict[str, dict[str, str]] = {}
    with moto() as table:
        for size in SIZES:
            columns[f"{size:,} of one's own"] = measured(table, own=size, others=0)
        for size in SIZES[1:]:
            columns[f"10, and {size:,} of others"] = measured(table, own=10, others=size)
    rows = [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    rows += [
        f"| {name} | {' | '.join(column[name] for column in columns.values())} |"
        for name in REQUESTS
    ]
    table_text = "\n".join([*rows, ""])
    sys.stdout.write(table_text)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + table_text + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
