"""What the tests stand on: one embedded backend, and the app in this process."""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from chalicelib import settings as settings_module
from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.aws.items import Item, from_attributes, to_attributes
from chalicelib.models.fields import Store
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from local import backend
from tests import leaks, s3_rules
from tests.faults import Faults
from tests.forger import Forger
from tests.invariants import Held, Invariants
from tests.phone import Phone

pytest_plugins = ["tests.leak_plugin"]


@pytest.fixture(scope="session", autouse=True)
def settings() -> Iterator[Settings]:
    """Settings that lead to an embedded backend, whatever this machine is configured for."""
    embedded = backend.start()
    # moto and cfn-lint are two million objects, which each collection would look at again.
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "RECORDER_"))]:
            patch.delenv(name)
        for name, value in embedded.environment().items():
            patch.setenv(name, value)
        patch.setenv("RECORDER_PUBLIC_URL", "http://127.0.0.1:8000")
        # The lowest that bcrypt has: the tests are not about its strength.
        patch.setenv("RECORDER_BCRYPT_COST", "4")
        settings = settings_module.load()
        leaks.learn(*({"token": key} for key in settings.keys.values()))
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


@pytest.fixture(scope="session", autouse=True)
def _s3_rules(clients: Clients, onlookers: Clients) -> None:
    """The conditions of a copy, which S3 enforces and moto does not."""
    s3_rules.enforce(clients.s3_copying, looking_through=onlookers.s3)


class Clock:
    """A clock that runs, and that a test can set forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return wiring.now() + self._ahead

    def advance(self, **duration: float) -> None:
        self._ahead += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def services(
    settings: Settings, clients: Clients, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Services:
    """The services that the app uses during a test."""
    services = Services(settings, clock, clients)
    monkeypatch.setattr(wiring, "_services", services)
    return services


@pytest.fixture(autouse=True)
def _forgotten(settings: Settings) -> Iterator[None]:
    """Empties the table after a test: moto copies all of it at every transaction."""
    # Not before backend.start() has made the environment safe to import it in.
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.dynamodb.models import dynamodb_backends

    yield
    dynamodb_backends[DEFAULT_ACCOUNT_ID][backend.REGION].get_table(settings.table).items.clear()


@pytest.fixture
def stored(settings: Settings, clients: Clients) -> Callable[..., list[Item]]:
    """Reads the table: what it holds under one partition key, or all there is."""

    def read(pk: str | None = None) -> list[Item]:
        if pk is None:
            pages = clients.dynamodb.get_paginator("scan").paginate(TableName=settings.table)
            return [from_attributes(item) for page in pages for item in page["Items"]]
        queried = clients.dynamodb.get_paginator("query").paginate(
            TableName=settings.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_attributes({":pk": pk}),
        )
        return [from_attributes(item) for page in queried for item in page["Items"]]

    return read


@pytest.fixture
def configure(
    settings: Settings, clients: Clients, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Gives the app other settings for the rest of a test."""

    def configure(**changes: Any) -> None:
        changed = msgspec.structs.replace(settings, **changes)
        monkeypatch.setattr(wiring, "_services", Services(changed, clock, clients))

    return configure


@pytest.fixture
def held(settings: Settings, onlookers: Clients) -> Held:
    """Reads a bucket: each of a user's objects by recording id, every version of it.

    A version that marks a deletion has no bytes and reads as None.
    """
    buckets = {"uploads": settings.uploads_bucket, "recordings": settings.recordings_bucket}

    def read(store: Store, user_id: str) -> dict[str, list[bytes | None]]:
        bucket = buckets[store]
        answer = onlookers.s3.list_object_versions(Bucket=bucket, Prefix=f"{user_id}/")
        held: dict[str, list[bytes | None]] = defaultdict(list)
        for version in answer.get("Versions", []):
            got = onlookers.s3.get_object(
                Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"]
            )
            held[version["Key"].removeprefix(f"{user_id}/")].append(got["Body"].read())
        for marker in answer.get("DeleteMarkers", []):
            held[marker["Key"].removeprefix(f"{user_id}/")].append(None)
        return dict(held)

    return read


@pytest.fixture
def invariants(stored: Callable[..., list[Item]], held: Held) -> Invariants:
    """Says which of the design's invariants are broken."""
    return Invariants(stored, held)


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


@pytest.fixture
def phone() -> Phone:
    """A phone whose user just signed up."""
    return Phone().sign_up()


@pytest.fixture
def forger(phone: Phone, settings: Settings) -> Forger:
    """Makes access tokens of that user, with a flaw."""
    return Forger(phone, *str(settings.jwt_keys).split(":"))


@pytest.fixture
def other() -> Phone:
    """Somebody else's phone."""
    return Phone().sign_up()
