"""What the tests stand on: one embedded backend, and the app in this process."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import hypothesis
import msgspec
import pytest

from chalicelib import jobs, wiring
from chalicelib import settings as settings_module
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, recording_key
from chalicelib.settings import Settings
from chalicelib.telemetry import JsonLine
from chalicelib.wiring import Services
from local.embedded.environment import REGION
from local.provider import Provider
from tests.support import audits, engines, faster_moto, in_process, leaks, shortcut
from tests.support.faults import Faults
from tests.support.federation import IDS, Federation
from tests.support.forger import Forger
from tests.support.invariants import Held, Invariants
from tests.support.moto import backend
from tests.support.phone import Phone

Left = Callable[[Phone], list[object]]
Find = Callable[[Phone, str], Item]

# What is drawn is the same each time, unless somebody looks deeper: then it is new each time.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("deep", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
# Whether there is time for as many as it takes, as `make deep` has.
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
pytest_plugins = ["tests.support.leak_plugin"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file that share something, such as a server, on one worker."""
    for item in items:
        fixtures = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - mypy forbids the attribute
        if any(fixture[-1].scope == "module" for fixture in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notices a pytest that pytest-xdist does not know: it then groups nothing."""
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if hasattr(session.config, "workerinput") and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist does not keep the tests of a group together")


@pytest.fixture(scope="session", autouse=True)
def settings() -> Iterator[Settings]:
    """Settings that lead to an embedded backend, whatever this machine is configured for."""
    embedded = backend.start()
    faster_moto.hurry()
    # moto and cfn-lint are two million objects, which each collection would look at again.
    gc.freeze()
    with engines.running() as others, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "RECORDER_"))]:
            patch.delenv(name)
        for name, value in (embedded.environment() | others).items():
            patch.setenv(name, value)
        patch.setenv("RECORDER_PUBLIC_URL", "http://127.0.0.1:8000")
        # What is offered, so that its routes are there; who wants tokens has keys for them.
        patch.setenv("RECORDER_GOOGLE_CLIENT_IDS", f"recorder.ios, {IDS['google']}")
        patch.setenv("RECORDER_APPLE_CLIENT_IDS", IDS["apple"])
        for name in ("GOOGLE", "APPLE"):
            patch.setenv(f"RECORDER_{name}_KEYS_URL", "http://127.0.0.1:9/keys")
        # The lowest that bcrypt has: the tests are not about its strength.
        patch.setenv("RECORDER_BCRYPT_COST", "4")
        settings = settings_module.load()
        leaks.learn(*({"token": key} for key in settings.keys.values()))
        with in_process.answering(embedded.url):
            yield settings
    embedded.stop()


@pytest.fixture(scope="session")
def clients(settings: Settings) -> Clients:
    """The AWS clients, which take longer to build than most tests to run."""
    return Clients(custom_s3=bool(settings.s3_endpoint))


@pytest.fixture(scope="session")
def onlookers(settings: Settings) -> Clients:
    """Clients like those of the app, for looking at what it did: no fault is injected into them."""
    return Clients(custom_s3=bool(settings.s3_endpoint))


class Clock:
    """A clock that runs, and that a test can set forward, back, or stop."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._stopped: datetime | None = None

    def __call__(self) -> datetime:
        return (self._stopped or wiring.now()) + self._ahead

    def advance(self, **duration: float) -> None:
        self._ahead += timedelta(**duration)

    def stop(self, at: datetime) -> None:
        self._stopped = at - self._ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Context:
    """What Lambda hands to a function, as far as it is looked at."""

    aws_request_id = "6b7931c2-5e6d-41d0-a831-a7119d0acabf"

    def __init__(self, *milliseconds: int) -> None:
        self._left = list(milliseconds)

    def get_remaining_time_in_millis(self) -> int:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


LAMBDA = Context(300_000)
# The ETag of an object without any.
NO_BYTES = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Reads what was logged since the last time, as CloudWatch gets it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLine())
    handler.setLevel(logging.INFO)

    def read() -> list[dict[str, Any]]:
        lines = written.getvalue().splitlines()
        written.seek(0)
        written.truncate()
        return [json.loads(line) for line in lines]

    logging.getLogger("chalicelib").addHandler(handler)
    yield read
    logging.getLogger("chalicelib").removeHandler(handler)


@pytest.fixture(autouse=True)
def services(
    settings: Settings, clients: Clients, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """The services that the app uses during a test."""
    services = Services(settings, clock, clients)
    monkeypatch.setattr(wiring, "_services", services)
    return services


@pytest.fixture(scope="session")
def forget(settings: Settings) -> Callable[[], None]:
    """Empties table, buckets and mailbox."""
    if engines.THERE:
        return engines.Engines(settings).forget
    # Not before backend.start() has made the environment safe to import it in.
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.dynamodb.models import dynamodb_backends
    from moto.s3.models import FakeDeleteMarker, s3_backends
    from moto.ses.models import ses_backends

    def forget() -> None:
        tables = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION]
        tables.get_table(settings.table).items.clear()
        for bucket in s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.values():
            versions = [version for key in bucket.keys for version in bucket.keys.getlist(key)]
            for kept in (*versions, *bucket.multiparts.values()):
                if not isinstance(kept, FakeDeleteMarker):
                    kept.dispose()
            bucket.keys.clear()
            bucket.multiparts.clear()
        ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages.clear()

    return forget


@pytest.fixture(autouse=True)
def _forgotten(forget: Callable[[], None]) -> Iterator[None]:
    """Forgets all after a test: moto looks at a whole bucket to list the versions of one key."""
    yield
    forget()


@pytest.fixture(scope="session")
def stored(settings: Settings) -> Callable[..., list[Item]]:
    """Reads the table: what it holds under one partition key, or all there is."""
    return partial(shortcut.items, settings.table)


@pytest.fixture
def configure(
    settings: Settings, clients: Clients, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Gives the app other settings for the rest of a test."""

    def configure(**changes: Any) -> None:
        changed = msgspec.structs.replace(settings, **changes)
        monkeypatch.setattr(wiring, "_services", Services(changed, clock, clients))

    return configure


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """Google and Apple, on loopback."""
    provider = Provider()
    provider.serve()
    yield provider
    provider.stop()


@pytest.fixture
def federation(provider: Provider, clock: Clock, configure: Callable[..., None]) -> Federation:
    """Has the app trust those, and makes their tokens."""
    google, apple = (f"{provider.url}/{each}/keys" for each in ("google", "apple"))
    configure(google_keys_url=google, apple_keys_url=apple)
    return Federation(provider, clock)


@pytest.fixture(scope="session")
def held(settings: Settings) -> Held:
    """Reads a bucket: each of a user's objects by recording id, every version of it.

    A version that marks a deletion has no bytes and reads as None.
    """
    buckets = {"uploads": settings.uploads_bucket, "recordings": settings.recordings_bucket}
    return lambda store, user_id: shortcut.objects(buckets[store], f"{user_id}/")


@pytest.fixture
def find(stored: Callable[..., list[Item]]) -> Find:
    """Reads what stands in the table under a recording's id."""

    def read(phone: Phone, id: str) -> Item:
        key = recording_key(phone.user_id, id)
        (found,) = [item for item in stored(key["pk"]) if item["sk"] == key["sk"]]
        return found

    return read


@pytest.fixture
def nothing_is_left(held: Held) -> Callable[[Phone], bool]:
    """Says whether a phone's user has no recording, no bytes in S3, and uses no quota."""

    def look(phone: Phone) -> bool:
        return (
            not any(phone.listed(status=status) for status in ("ready", "uploading", "trashed"))
            and held("uploads", phone.user_id) == held("recordings", phone.user_id) == {}
            and phone.usage() == (0, 0)
        )

    return look


@pytest.fixture
def under_way(settings: Settings, onlookers: Clients) -> Callable[[Phone], list[str]]:
    """Lists the multipart uploads of a phone's user that S3 has, by S3's names for them."""

    def read(phone: Phone) -> list[str]:
        answer = onlookers.s3.list_multipart_uploads(
            Bucket=settings.uploads_bucket, Prefix=f"{phone.user_id}/"
        )
        return [upload["UploadId"] for upload in answer.get("Uploads", [])]

    return read


@pytest.fixture(scope="session")
def invariants(stored: Callable[..., list[Item]], held: Held, settings: Settings) -> Invariants:
    """Says which of the design's invariants are broken."""
    uploads = settings.uploads_bucket
    return Invariants(stored, held, lambda user_id: shortcut.sent_in_parts(uploads, f"{user_id}/"))


@pytest.fixture
def expire(clock: Clock) -> Callable[[Phone, str], None]:
    """Lets the time of an upload pass that has not arrived."""

    def expire(phone: Phone, id: str) -> None:
        clock.advance(days=8)
        wiring.services().upkeep.run()
        assert phone.get(f"/recordings/{id}").status == 404

    return expire


@pytest.fixture
def tell(settings: Settings) -> Callable[[], None]:
    """Has S3 tell of the last piece of each live upload that has ended."""
    bucket = settings.uploads_bucket

    def tell() -> None:
        for key in shortcut.objects(bucket, ""):
            if key.endswith("-0"):
                found = {"bucket": {"name": bucket}, "object": {"key": key, "etag": NO_BYTES}}
                jobs.notice({"detail": found}, LAMBDA)

    return tell


@pytest.fixture
def run_down(
    clock: Clock, stored: Callable[..., list[Item]], tell: Callable[[], None]
) -> Callable[[], None]:
    """Runs upkeep, and sets the clock to when what is left is due, until nothing is left."""

    def run_down() -> None:
        for _ in range(10):
            wiring.services().upkeep.run()
            tell()
            # What waits to be listened to is told of again and again: nobody listens here.
            times = [
                datetime.fromisoformat(item["due_at"])
                for item in stored()
                if "due_shard" in item and item.get("status") != "ready"
            ]
            if not times:
                return
            clock.advance(seconds=(max(times) - clock()).total_seconds() + 1)
        raise AssertionError("Something is due again and again")

    return run_down


@pytest.fixture
def left(
    stored: Callable[..., list[Item]], held: Held, under_way: Callable[[Phone], list[str]]
) -> Left:
    """Reads all that is kept anywhere under a phone's user."""

    def read(phone: Phone) -> list[object]:
        return [
            *stored(account_key(phone.user_id)["pk"]),
            *held("uploads", phone.user_id),
            *held("recordings", phone.user_id),
            *held("uploads", f"exports/{phone.user_id}"),
            *under_way(phone),
        ]

    return read


@pytest.fixture
def clear_away(clock: Clock) -> Callable[[], None]:
    """Runs upkeep, and again once nothing can be under way any more."""

    def clear_away() -> None:
        wiring.services().upkeep.run()
        clock.advance(minutes=16)
        wiring.services().upkeep.run()

    return clear_away


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str], clients: Clients, clock: Clock) -> audits.Run:
    """Runs the audit's command, as an operator does."""
    return partial(audits.run, capsys, clients, clock)


@pytest.fixture
def tool(onlookers: Clients, settings: Settings) -> audits.Tool:
    """A mistaken tool: it breaks what is promised."""
    return audits.Tool(onlookers, settings)


@pytest.fixture
def in_pages_of_one(faults: Faults) -> None:
    """Has what an audit reads come by the single item, as if there were very many."""
    faults.ask("dynamodb", "Scan", Limit=1)
    faults.ask("s3", "ListObjectVersions", MaxKeys=1)
    faults.ask("s3", "ListObjectsV2", MaxKeys=1)


@pytest.fixture
def faults(clients: Clients) -> Iterator[Faults]:
    """Makes calls to AWS fail."""
    faults = Faults(clients)
    yield faults
    faults.clear()


@pytest.fixture
def nobody() -> Phone:
    """A phone on which nobody is logged in."""
    return Phone()


@pytest.fixture(scope="session")
def newcomer(settings: Settings) -> Callable[[], Phone]:
    """Signs a phone's user up; for a minute it is the same one, and all is as it was then.

    Signing up takes longer than most tests do.
    """
    signed_up: list[tuple[float, Phone, list[Item]]] = []

    def newcomer() -> Phone:
        if not signed_up or time.monotonic() > signed_up[-1][0] + 60:
            phone = Phone().sign_up()
            signed_up.append((time.monotonic(), phone, shortcut.items(settings.table)))
        _, first, items = signed_up[-1]
        shortcut.put(settings.table, items)
        return first.copy()

    return newcomer


@pytest.fixture
def phone(newcomer: Callable[[], Phone]) -> Phone:
    """A phone whose user just signed up."""
    return newcomer()


@pytest.fixture
def trashed(phone: Phone) -> str:
    """The id of a recording in the trash, which is all that the phone's user has."""
    id = phone.upload(b"some sound")
    assert phone.trash(id).status == 204
    return id


@pytest.fixture
def forger(phone: Phone, settings: Settings) -> Forger:
    """Makes access tokens of that user, with a flaw."""
    return Forger(phone, *str(settings.jwt_keys).split(":"))


@pytest.fixture
def other() -> Phone:
    """Somebody else's phone."""
    return Phone().sign_up()
