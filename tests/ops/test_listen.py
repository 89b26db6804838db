"""`make listen`: one command has all of a stage listened to again by a version that hears more."""

from __future__ import annotations

import json

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.core.recordings import listening
from chalicelib.wiring import Services
from ops import listen
from tests.support.faults import Faults
from tests.support.listening import SILENCE, listen_instantly
from tests.support.phone import Phone

SOUND = b"some sound"


def told(faults: Faults, clients: Clients, *arguments: str) -> tuple[set[str], list[float]]:
    """The ids that the job was told of, and how long was waited after each batch."""
    waited: list[float] = []
    asked = faults.asked("events", "PutEvents")
    assert listen.main(arguments, clients, waited.append) == listen.DONE
    keys = [json.loads(e["Detail"])["object"]["key"] for each in asked for e in each["Entries"]]
    faults.clear()
    return {key.partition("/")[2] for key in keys}, waited


def test_what_this_version_has_not_listened_to_is_told_of_whoever_it_belongs_to(
    phone: Phone, other: Phone, faults: Faults, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, unheard, trashed = phone.upload(SOUND), phone.upload(SOUND), other.upload(SOUND)
    listen_instantly(phone, heard, SILENCE)
    other.trash(trashed)
    phone.deliver(SOUND)
    phone.delete_for_good(phone.upload(SOUND))

    assert told(faults, clients)[0] == {unheard, trashed}
    monkeypatch.setattr(listen, "LISTENER", listening.LISTENER + 1)
    assert told(faults, clients)[0] == {heard, unheard, trashed}


def test_it_tells_no_more_a_minute_than_can_be_listened_to(
    phone: Phone, faults: Faults, clients: Clients
) -> None:
    for _ in range(3):
        phone.upload_directly(SOUND)

    assert told(faults, clients, "--a-minute", "90")[1] == [2.0]


def test_what_cannot_be_told_ends_it(
    phone: Phone, faults: Faults, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    phone.upload_directly(SOUND)
    faults.refuse("events", "PutEvents")

    assert listen.main([], clients) == listen.FAILED
    assert "could not be finished" in capsys.readouterr().err


def test_without_a_stage_there_is_nothing_to_listen_to(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORDER_BACKEND", "embedded")

    assert services
    assert listen.main([]) == listen.FAILED
