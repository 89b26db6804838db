"""What the tests stand on: one embedded backend, and the app in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from chalicelib import settings as settings_module
from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from local import backend
from tests.faults import Faults
from tests.phone import Phone


@pytest.fixture(scope="session", autouse=True)
def settings() -> Iterator[Settings]:
    """Settings that lead to an embedded backend, whatever this machine is configured for."""
    embedded = backend.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "RECORDER_"))]:
            patch.delenv(name)
        for name, value in embedded.environment().items():
            patch.setenv(name, value)
        # The lowest that bcrypt has: the tests are not about its strength.
        patch.setenv("RECORDER_BCRYPT_COST", "4")
        yield settings_module.load()
    embedded.stop()


@pytest.fixture(scope="session")
def clients(settings: Settings) -> Clients:
    """The AWS clients, which take longer to build than most tests to run."""
    return Clients(custom_s3=bool(settings.s3_endpoint))


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
def other() -> Phone:
    """Somebody else's phone."""
    return Phone().sign_up()
