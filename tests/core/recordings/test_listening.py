"""Listening: what is in a recording is found out once it is ready, and told to its devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest

from chalicelib import deadline, wiring
from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.core.accounts import export
from chalicelib.core.recordings import listening
from chalicelib.errors import RecorderError, Unavailable
from chalicelib.models.entities import Heard, StoredObject
from chalicelib.wiring import Services
from tests.conftest import Clock, Find
from tests.support.faults import Faults
from tests.support.listening import SILENCE, Instantly, event, listen_instantly
from tests.support.phone import NO_TLS, Phone

SOUND = b"some sound"
SAID = {
    "readable": True,
    "duration_ms": 1234,
    "container": "mp4",
    "codec": "aac",
    "sample_rate_hz": 44_100,
    "channels": 1,
}
WAVEFORM = {
    "version": 2,
    "channels": 1,
    "sample_rate": 44_100,
    "samples_per_pixel": 64,
    "bits": 8,
    "length": 2,
    "data": [-1, 1, -128, 127],
}


@pytest.fixture
def waveforms(stored: Callable[..., list[Item]]) -> Callable[[Phone], list[str]]:
    """Reads of which of a phone's recordings there is a waveform."""

    def read(phone: Phone) -> list[str]:
        keys = [item["sk"] for item in stored(account_key(phone.user_id)["pk"])]
        return [key.removeprefix("WAVEFORM#") for key in keys if key.startswith("WAVEFORM#")]

    return read


def drawn(phone: Phone, id: str) -> Any:
    return phone.get(f"/recordings/{id}/waveform")


# What is heard.


def test_what_was_heard_is_in_the_recording_in_lists_and_in_the_feed(phone: Phone) -> None:
    id = phone.upload(SOUND)
    cursor = phone.get("/recordings/changes").json["cursor"]
    before = phone.seen(id)
    listen_instantly(phone, id)

    after = phone.seen(id)
    assert "sound" not in before
    assert (after["sound"], after["version"]) == (SAID, before["version"] + 1)
    assert phone.get("/recordings").json["recordings"] == [after]
    changes = phone.get("/recordings/changes", query={"since": cursor}).json["changes"]
    assert changes[-1] == after


def test_the_duration_is_what_was_heard_where_the_app_said_none(phone: Phone) -> None:
    silent, saying = phone.upload(SOUND), phone.upload(SOUND, duration_ms=5)
    for id in (silent, saying):
        listen_instantly(phone, id)

    assert phone.seen(silent)["duration_ms"] == 1234
    assert phone.seen(saying)["duration_ms"] == 5
    phone.patch(f"/recordings/{saying}", {"duration_ms": None})
    assert phone.seen(saying)["duration_ms"] == 1234
    assert {each["duration_ms"] for each in phone.get("/recordings").json["recordings"]} == {1234}


def test_what_cannot_be_read_says_so_and_nothing_else(phone: Phone) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id, SILENCE)

    assert phone.seen(id)["sound"] == {"readable": False}
    assert "duration_ms" not in phone.seen(id)
    assert phone.download(id).content == SOUND


def test_a_direct_upload_is_listened_to_as_well(phone: Phone) -> None:
    id = phone.upload_directly(SOUND)
    listen_instantly(phone, id)

    assert phone.seen(id)["sound"] == SAID


# The waveform.


def test_a_waveform_is_what_audiowaveform_writes(phone: Phone) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)

    assert (drawn(phone, id).status, drawn(phone, id).json) == (200, WAVEFORM)


@pytest.mark.parametrize("state", ["uploading", "ready"])
def test_a_waveform_that_is_not_known_yet_is_to_be_asked_for_again(
    phone: Phone, state: str
) -> None:
    id = phone.deliver(SOUND) if state == "uploading" else phone.upload(SOUND)

    answer = drawn(phone, id)
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (409, "not_ready", "2")


def test_what_is_no_sound_has_no_waveform(phone: Phone) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id, SILENCE)

    assert (drawn(phone, id).status, drawn(phone, id).code) == (404, "not_found")


def test_nobody_sees_the_waveform_of_another(phone: Phone, other: Phone) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)

    assert drawn(other, id).status == 404


def test_a_waveform_takes_two_calls(phone: Phone, faults: Faults) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)

    calls = faults.calls_of(lambda: drawn(phone, id))
    assert calls == ["dynamodb.BatchGetItem", "dynamodb.GetItem"]


def test_a_list_does_not_grow_by_it(phone: Phone, find: Find) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)

    assert "data" not in find(phone, id)
    assert len(phone.get("/recordings").text) < 1000


# With the recording.


def test_a_waveform_stays_in_the_trash_and_comes_back(phone: Phone) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    phone.trash(id)

    assert drawn(phone, id).json == WAVEFORM
    phone.restore(id)
    assert drawn(phone, id).json == WAVEFORM
    assert phone.seen(id)["sound"] == SAID


def test_a_waveform_goes_with_the_recording(
    phone: Phone, waveforms: Callable[[Phone], list[str]]
) -> None:
    gone, stays = phone.upload(SOUND), phone.upload(SOUND)
    for id in (gone, stays):
        listen_instantly(phone, id)
    phone.delete_for_good(gone)

    assert drawn(phone, gone).status == 404
    assert waveforms(phone) == [stays]


def test_a_waveform_goes_with_what_the_trash_is_emptied_of(
    phone: Phone, clock: Clock, waveforms: Callable[[Phone], list[str]]
) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    phone.trash(id)
    clock.advance(days=31)
    wiring.services().upkeep.run()

    assert waveforms(phone) == []


def test_waveforms_go_with_the_account(
    phone: Phone, clear_away: Callable[[], None], left: Callable[[Phone], list[object]]
) -> None:
    listen_instantly(phone, phone.upload(SOUND))
    phone.delete("/me", body={"password": "battery staple, correctly"})
    clear_away()
    clear_away()

    assert left(phone) == []


def test_an_export_has_the_waveforms(phone: Phone) -> None:
    ids = sorted(phone.upload(SOUND) for _ in range(2))
    for id in ids:
        listen_instantly(phone, id)

    exported = httpx.get(phone.export().json["url"], verify=NO_TLS).json()
    assert exported["waveforms"] == dict.fromkeys(ids, WAVEFORM)
    assert [each["sound"] for each in exported["recordings"]] == [SAID, SAID]


def test_an_export_that_would_take_too_long_leaves_the_waveforms_out(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen_instantly(phone, phone.upload(SOUND))
    monkeypatch.setattr(export, "MOST_DRAWN", 0)

    exported = httpx.get(phone.export().json["url"], verify=NO_TLS).json()
    assert (exported["waveforms"], len(exported["recordings"])) == (None, 1)


# Once, whenever.


def test_the_same_event_again_changes_nothing(phone: Phone, faults: Faults) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    before = phone.seen(id)

    calls = faults.calls_of(lambda: listen_instantly(phone, id, SILENCE))
    assert calls == ["dynamodb.BatchGetItem"]
    assert phone.seen(id) == before


def test_of_two_that_listen_at_once_one_notes_it(phone: Phone, faults: Faults) -> None:
    id = phone.upload(SOUND)
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: other_notes())

    def other_notes() -> None:
        faults.clear()
        listen_instantly(phone, id)

    listen_instantly(phone, id)
    assert phone.seen(id)["version"] == 3


def test_an_event_before_the_recording_is_ready_waits_for_that(phone: Phone) -> None:
    id = phone.deliver(SOUND)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        phone.complete(id)

    services = wiring.services()
    use_case = listening.Listening(services._stores, Instantly(), services._clock, pause)
    use_case.listen(phone.user_id, id)
    assert (waited, phone.seen(id)["sound"]) == ([0.1], SAID)


def test_an_event_of_what_never_becomes_ready_does_nothing(phone: Phone) -> None:
    id = phone.deliver(SOUND)
    listen_instantly(phone, id)

    assert "sound" not in phone.seen(id)


def test_an_event_after_the_deletion_does_nothing(
    phone: Phone, waveforms: Callable[[Phone], list[str]]
) -> None:
    id = phone.upload(SOUND)
    phone.delete_for_good(id)
    listen_instantly(phone, id)

    assert waveforms(phone) == []


@pytest.mark.parametrize("what", ["delete_for_good", "trash"])
def test_what_happens_to_a_recording_while_it_is_listened_to_holds(
    phone: Phone, what: str, waveforms: Callable[[Phone], list[str]]
) -> None:
    id = phone.upload(SOUND)

    class Meanwhile(Instantly, frozen=True):
        def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
            getattr(phone, what)(id)
            return super().hear(url, kept, seconds)

    services = wiring.services()
    use_case = listening.Listening(services._stores, Meanwhile(), services._clock, lambda _: None)
    use_case.listen(phone.user_id, id)
    if what == "trash":
        assert (phone.seen(id)["status"], phone.seen(id)["sound"]) == ("trashed", SAID)
        assert waveforms(phone) == [id]
    else:
        assert phone.get(f"/recordings/{id}").status == 404
        assert waveforms(phone) == []


@pytest.mark.parametrize("is_deleted", [True, False])
def test_bytes_that_cannot_be_had_are_a_fault_unless_the_recording_is_gone(
    phone: Phone, is_deleted: bool
) -> None:
    id = phone.upload(SOUND)

    class Unreachable(Instantly, frozen=True):
        def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
            super().hear(url, kept, seconds)
            if is_deleted:
                phone.delete_for_good(id)
            raise Unavailable("404 to bytes 0 to 999")

    services = wiring.services()
    use_case = listening.Listening(services._stores, Unreachable(), services._clock, lambda _: None)
    with nullcontext() if is_deleted else pytest.raises(Unavailable, match="404"):
        use_case.listen(phone.user_id, id)


def test_a_recording_that_is_deleted_before_it_is_looked_at_is_not_complained_of(
    phone: Phone, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    id = phone.upload(SOUND)
    faults.meanwhile("s3", "HeadObject", lambda: phone.delete_for_good(id))
    listen_instantly(phone, id)

    assert "has not the bytes" not in caplog.text


def test_what_is_heard_in_the_trash_leaves_it_due_to_be_purged(phone: Phone, find: Find) -> None:
    id = phone.upload(SOUND)
    phone.trash(id)
    due_at = find(phone, id)["due_at"]
    listen_instantly(phone, id)

    assert find(phone, id)["due_at"] == due_at


def test_an_object_of_other_bytes_is_not_listened_to(phone: Phone, services: Services) -> None:
    id = phone.upload(SOUND)
    bucket, key = services.settings.recordings_bucket, f"{phone.user_id}/{id}"
    services.clients.s3.put_object(Bucket=bucket, Key=key, Body=b"some other sound")
    listen_instantly(phone, id)

    assert "sound" not in phone.seen(id)


# What the event missed.


def test_what_nobody_listened_to_is_told_of_again_less_and_less_often(
    phone: Phone, clock: Clock, faults: Faults
) -> None:
    id = phone.upload(SOUND)
    asked = faults.asked("events", "PutEvents")
    told = []
    for _ in range(40):
        wiring.services().upkeep.run()
        told.append(len(asked))
        clock.advance(minutes=1)

    assert [told.index(number) for number in (1, 2, 3)] == [5, 10, 20]
    [entry] = asked[0]["Entries"]
    said = {"source": entry["Source"], "detail": json.loads(entry["Detail"])}
    assert said == {"source": "recorder", "detail": event(phone, id)["detail"]}


def test_what_was_listened_to_is_due_no_more(phone: Phone, find: Find, clock: Clock) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    clock.advance(days=1)

    assert "due_at" not in find(phone, id)
    assert wiring.services().upkeep.run().moved == 0


def test_what_comes_back_from_the_trash_is_told_of_if_nobody_listened_to_it(
    phone: Phone, clock: Clock
) -> None:
    unheard, heard = phone.upload(SOUND), phone.upload(SOUND)
    listen_instantly(phone, heard)
    for id in (unheard, heard):
        phone.trash(id)
        phone.restore(id)
    clock.advance(minutes=6)

    assert wiring.services().upkeep.run().retold == 1


def test_what_could_not_be_told_is_told_later(phone: Phone, clock: Clock, faults: Faults) -> None:
    phone.upload(SOUND)
    clock.advance(minutes=6)
    faults.refuse("events", "PutEvents")
    assert wiring.services().upkeep.run().failed == 1
    faults.clear()
    clock.advance(minutes=6)

    assert wiring.services().upkeep.run().retold == 1


# Beside changes of people's.


def changed(phone: Phone, id: str, version: int) -> int:
    body, headers = {"notes": "n"}, {"If-Match": f'"{version}"'}
    return phone.patch(f"/recordings/{id}", body, headers=headers).status


def test_that_somebody_listened_is_no_conflict(phone: Phone) -> None:
    id = phone.upload(SOUND)
    version = phone.seen(id)["version"]
    listen_instantly(phone, id)

    assert changed(phone, id, version) == 200
    assert phone.seen(id)["version"] == version + 2
    assert phone.seen(id)["sound"] == SAID


def test_what_somebody_changed_is_a_conflict_whenever_somebody_listened(phone: Phone) -> None:
    before, after = phone.upload(SOUND), phone.upload(SOUND)
    versions = {id: phone.seen(id)["version"] for id in (before, after)}
    listen_instantly(phone, before)
    for id in (before, after):
        phone.patch(f"/recordings/{id}", {"notes": "another's"})
    listen_instantly(phone, after)

    for id, version in versions.items():
        assert changed(phone, id, version) == 409
        assert changed(phone, id, version + 3) == 409
    assert changed(phone, before, versions[before] + 1) == 409


def test_a_restore_is_as_good_with_the_version_before_somebody_listened(phone: Phone) -> None:
    id = phone.upload(SOUND)
    phone.trash(id)
    version = phone.seen(id)["version"]
    listen_instantly(phone, id)

    assert phone.restore(id, f'"{version - 1}"').status == 409
    assert phone.restore(id, f'"{version}"').status == 200


def test_what_is_said_while_somebody_listens_is_kept(phone: Phone) -> None:
    id = phone.upload(SOUND)

    class Meanwhile(Instantly, frozen=True):
        def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
            phone.patch(f"/recordings/{id}", {"notes": "n"})
            return super().hear(url, kept, seconds)

    services = wiring.services()
    use_case = listening.Listening(services._stores, Meanwhile(), services._clock, lambda _: None)
    use_case.listen(phone.user_id, id)
    assert (phone.seen(id)["notes"], phone.seen(id)["sound"]) == ("n", SAID)
    assert phone.seen(id)["version"] == 4


# Another version of the listener.


def test_a_newer_listener_listens_again_and_says_what_it_hears(
    phone: Phone, monkeypatch: pytest.MonkeyPatch, waveforms: Callable[[Phone], list[str]]
) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id, SILENCE)
    monkeypatch.setattr(listening, "LISTENER", listening.LISTENER + 1)
    listen_instantly(phone, id)
    assert (phone.seen(id)["sound"], waveforms(phone)) == (SAID, [id])

    monkeypatch.setattr(listening, "LISTENER", listening.LISTENER + 2)
    listen_instantly(phone, id, SILENCE)
    assert (phone.seen(id)["sound"], waveforms(phone)) == ({"readable": False}, [])


def test_a_newer_listener_that_hears_the_same_tells_nobody(
    phone: Phone, monkeypatch: pytest.MonkeyPatch, find: Find
) -> None:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    before = phone.seen(id)
    monkeypatch.setattr(listening, "LISTENER", 7)
    listen_instantly(phone, id)

    assert phone.seen(id) == before
    assert find(phone, id)["listener"] == 7


def test_without_time_to_listen_nothing_is_taken_for_unreadable(phone: Phone) -> None:
    id = phone.upload(SOUND)
    with pytest.raises(RecorderError, match="no time left"), deadline.within(60):
        listen_instantly(phone, id, SILENCE)

    assert "sound" not in phone.seen(id)


def test_bytes_that_cannot_be_had_are_not_taken_for_unreadable(
    phone: Phone, faults: Faults
) -> None:
    id = phone.upload(SOUND)
    faults.refuse("s3", "HeadObject")
    with pytest.raises(RecorderError):
        listen_instantly(phone, id)

    assert "sound" not in phone.seen(id)
