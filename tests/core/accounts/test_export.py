"""The export: all that is kept of a user, as a file of their own."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from chalicelib import jobs, wiring
from chalicelib.api import http
from chalicelib.aws.dynamodb.items import Item, account_key, recording_item
from chalicelib.aws.s3.exports import PREFIX as EXPORTS
from chalicelib.core.accounts import export
from chalicelib.core.accounts.export import Exporting
from chalicelib.core.ids import link_code, uuid7
from chalicelib.core.ports import Stores
from chalicelib.models.entities import Account, Link, StoredRecording, Waveform
from chalicelib.models.requests import Proof
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import LAMBDA, Clock
from tests.core.accounts.test_passwords import reset
from tests.support import s3_rules, shortcut
from tests.support.faults import Faults
from tests.support.invariants import Held
from tests.support.mail import link_for
from tests.support.phone import NO_TLS, PASSWORD, Phone

SOUND = b"some sound"


def fetch(url: str) -> httpx.Response:
    answer = httpx.get(url, verify=NO_TLS)
    assert answer.status_code == 200, answer.text
    return answer


def exported(phone: Phone) -> Any:
    return fetch(phone.export().json["url"]).json()


def recordings_in(file: Any) -> dict[str, dict[str, Any]]:
    return {recording["id"]: recording for recording in file["recordings"]}


def signed_until(url: str) -> datetime:
    query = parse_qs(urlsplit(url).query)
    signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))


# What is in it.


def test_an_export_has_the_profile(phone: Phone) -> None:
    phone.patch("/me", {"name": 'Ann "\u00c5" \u5a9b'})
    file = exported(phone)

    assert file["profile"] == phone.get("/me").json
    assert file["recordings"] == []


def test_an_export_has_every_recording_as_its_owner_sees_it(phone: Phone, other: Phone) -> None:
    said = {"notes": 'a\n"b" \u2028\U0001f399', "tags": ["x"], "duration_ms": 5}
    ready, trashed = phone.upload(SOUND, **said), phone.upload_directly(SOUND)
    phone.trash(trashed)
    sent, announced = phone.deliver(SOUND), phone.announce(SOUND).json["recording"]["id"]
    phone.delete_for_good(phone.upload(SOUND))
    other.upload(SOUND)
    recordings = recordings_in(exported(phone))

    assert recordings.keys() == {ready, trashed, sent, announced}
    for id, recording in recordings.items():
        assert ("download_url" in recording) == (id in {ready, trashed})
        recording.pop("download_url", None)
        assert recording == phone.seen(id)


@pytest.mark.parametrize("is_trashed", [False, True], ids=["ready", "trashed"])
def test_an_exported_recording_can_be_downloaded(phone: Phone, is_trashed: bool) -> None:
    id = phone.upload(SOUND, file_name="sound of \u00c5.m4a")
    if is_trashed:
        phone.trash(id)
    download = fetch(recordings_in(exported(phone))[id]["download_url"])

    assert download.content == SOUND
    assert download.headers["content-type"] == "audio/mp4"
    assert "sound%20of%20%C3%85.m4a" in download.headers["content-disposition"]


def test_an_export_has_nothing_internal(phone: Phone, stored: Callable[..., list[Item]]) -> None:
    phone.upload(SOUND)
    phone.announce(SOUND, upload_method="multipart")
    text = fetch(phone.export().json["url"]).text

    inner = {"password_hash", "refresh_hash", "token_key", "fingerprint", "upload_id"}
    items = stored(account_key(phone.user_id)["pk"])
    secrets = {item[name] for item in items for name in inner & item.keys()}
    assert len(secrets) >= len(inner)
    assert [each for each in inner | secrets if each in text] == []


def test_an_export_has_all_recordings_however_many_pages_they_are(
    phone: Phone, faults: Faults
) -> None:
    ids = [phone.upload_directly(SOUND) for _ in range(5)]
    faults.ask("dynamodb", "Query", Limit=2)

    assert [recording["id"] for recording in exported(phone)["recordings"]] == ids


# Where it is.


def test_an_export_is_downloaded_as_a_private_file(phone: Phone) -> None:
    answer = fetch(phone.export().json["url"])

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="recordings.json"'
    assert answer.headers["cache-control"] == "private"


def test_all_urls_of_an_export_are_signed_until_it_expires(phone: Phone, clock: Clock) -> None:
    phone.upload(SOUND)
    answer = phone.export().json
    [recording] = fetch(answer["url"]).json()["recordings"]
    expires_at = datetime.fromisoformat(answer["expires_at"])

    assert expires_at - clock() <= timedelta(minutes=15)
    for url in (answer["url"], recording["download_url"]):
        assert s3_rules.accepts("GET", url, {})
        assert expires_at <= signed_until(url) < expires_at + timedelta(hours=1)


def test_an_export_wants_the_password(phone: Phone, held: Held) -> None:
    answer = phone.post("/me/export", {"password": "not my password"})

    assert (answer.status, answer.code) == (401, "invalid_credentials")
    assert held("uploads", f"exports/{phone.user_id}") == {}


def test_five_exports_a_day_are_written(phone: Phone, clock: Clock) -> None:
    assert [phone.export().status for _ in range(6)] == [200] * 5 + [429]
    clock.advance(days=1)

    assert phone.export().status == 200


def by_change(phone: Phone, _: Clock) -> None:
    passwords = {"current_password": PASSWORD, "new_password": "a quite different one"}
    assert phone.post("/me/password", passwords).status == 204


def by_reset(phone: Phone, _: Clock) -> None:
    assert reset(phone, link_for(phone)).status == 204


def by_closing(phone: Phone, _: Clock) -> None:
    assert phone.delete("/me", body={"password": PASSWORD}).status == 204


def by_time(_: Phone, clock: Clock) -> None:
    clock.advance(hours=1)
    wiring.services().upkeep.run()


@pytest.mark.parametrize("end", [by_change, by_reset, by_closing, by_time])
def test_an_export_ends_with_the_access_and_after_an_hour(
    phone: Phone, clock: Clock, held: Held, end: Callable[[Phone, Clock], None]
) -> None:
    phone.export()
    assert held("uploads", f"exports/{phone.user_id}") != {}
    end(phone, clock)

    assert held("uploads", f"exports/{phone.user_id}") == {}


@pytest.mark.parametrize("end", [by_change, by_reset, by_closing])
def test_an_export_that_s3_keeps_ends_within_the_hour_all_the_same(
    phone: Phone, clock: Clock, held: Held, faults: Faults, end: Callable[[Phone, Clock], None]
) -> None:
    phone.export()
    faults.refuse("s3", "DeleteObjects")
    end(phone, clock)
    faults.clear()
    by_time(phone, clock)

    assert held("uploads", f"exports/{phone.user_id}") == {}


def test_an_export_is_there_for_an_hour(phone: Phone, clock: Clock, held: Held) -> None:
    phone.export()
    clock.advance(minutes=59)
    wiring.services().upkeep.run()

    assert len(held("uploads", f"exports/{phone.user_id}")) == 1


def test_nothing_is_due_of_an_export_that_is_gone(
    phone: Phone, clock: Clock, stored: Callable[..., list[Item]]
) -> None:
    phone.export()
    by_time(phone, clock)

    assert [item for item in stored() if "due_shard" in item] == []


def test_each_export_is_a_file_of_its_own_in_place_of_the_one_before(
    phone: Phone, settings: Settings, held: Held
) -> None:
    urls = [phone.export().json["url"] for _ in range(2)]
    [first, second] = [urlsplit(url).path for url in urls]

    folder = f"/{settings.uploads_bucket}/{EXPORTS}{phone.user_id}/"
    assert first.startswith(folder)
    assert second.startswith(folder)
    assert first != second
    assert len(held("uploads", f"exports/{phone.user_id}")) == 1


@pytest.mark.parametrize("end", [by_change, by_reset, by_closing])
def test_an_export_that_is_written_while_the_access_ends_is_for_nobody(
    phone: Phone, clock: Clock, held: Held, faults: Faults, end: Callable[[Phone, Clock], None]
) -> None:
    owner = phone.on_another_device()
    faults.meanwhile("s3", "PutObject", lambda: end(owner, clock))

    assert phone.export().code == "not_authenticated"
    assert held("uploads", f"exports/{phone.user_id}") == {}


def test_an_export_that_arrives_is_taken_for_no_upload(
    phone: Phone, settings: Settings, faults: Faults
) -> None:
    url = phone.export().json["url"]
    key = urlsplit(url).path.removeprefix(f"/{settings.uploads_bucket}/")
    arrived = {"bucket": {"name": settings.uploads_bucket}, "object": {"key": key, "etag": "x"}}

    assert faults.calls_of(lambda: jobs.notice({"detail": arrived}, LAMBDA)) == []
    assert fetch(url).json()["profile"]["id"] == phone.user_id


def test_an_export_that_cannot_be_kept_can_be_asked_for_again(phone: Phone, faults: Faults) -> None:
    faults.refuse("s3", "PutObject")
    answer = phone.export()
    assert (answer.status, answer.code) == (503, "unavailable")
    faults.clear()

    assert exported(phone)["profile"]["id"] == phone.user_id


# How much memory it takes.


def test_a_large_export_is_sent_from_the_disk(
    phone: Phone, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [phone.upload_directly(SOUND) for _ in range(3)]
    monkeypatch.setattr(export, "IN_MEMORY", 1000)
    asked = faults.asked("s3", "PutObject")

    assert recordings_in(exported(phone)).keys() == set(ids)
    [put] = asked
    # SpooledTemporaryFile's own, which has no public name: whether it is a file on the disk.
    assert put["Body"]._rolled


class Many:
    """Shelves with recordings, and a bucket that keeps nothing."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.published = 0

    def still_good(self, account: Account) -> Account:
        return account

    def check(self, *_: object) -> None:
        """The password is right."""

    def count(self, *_: object) -> None:
        """There is no bound."""

    def note_export(self, *_: object) -> None:
        """Nothing is due."""

    def delete(self, *_: object) -> None:
        """There is nothing of before."""

    def all_of(self, user_id: str) -> Iterator[StoredRecording]:
        for _ in range(self._count):
            yield shortcut.recording(user_id)

    def of(self, user_id: str) -> Iterator[Link]:
        for recording in self.all_of(user_id):
            yield Link(
                id=uuid7(),
                code=link_code(),
                user_id=user_id,
                recording_id=recording.id,
                created_at=recording.created_at,
            )

    def waveforms(self, _user_id: str) -> Iterator[tuple[str, Waveform]]:
        for _ in range(self._count):
            yield uuid7(), Waveform(sample_rate=1, samples_per_pixel=2, data=bytes(400))

    def sign_get(self, recording: StoredRecording, _seconds: int) -> str:
        return f"https://recordings/{recording.key}"

    def publish(self, _user_id: str, file: IO[bytes], _seconds: int) -> str:
        while chunk := file.read(10_000):
            self.published += len(chunk)
        return "https://exports"


def peak_of_an_export(account: Account, services: Services, clock: Clock, count: int) -> int:
    """The most bytes that exporting so many recordings has in memory."""
    many: Any = Many(count)
    nothing: Any = None
    others = dict.fromkeys(Stores.__struct_fields__, nothing)
    used = ("shelves", "links", "sounds", "audio", "exports", "accounts")
    stores = Stores(**others | dict.fromkeys(used, many))
    tracemalloc.start()
    try:
        Exporting(stores, many, many, services.settings, clock).export(
            account, Proof(password=PASSWORD), "192.0.2.1", ""
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert many.published > 200 * count
    return peak


def test_the_memory_of_an_export_does_not_grow_with_the_recordings(
    phone: Phone, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = services.sessions.authenticate(phone.token).account
    monkeypatch.setattr(export, "IN_MEMORY", 20_000)
    peak_of_an_export(account, services, clock, 200)  # What is made once is made.

    small, large = (peak_of_an_export(account, services, clock, count) for count in (200, 2000))
    assert large < 1.5 * small


@pytest.mark.deep
def test_ten_thousand_recordings_are_exported_within_a_request(
    phone: Phone, settings: Settings, faults: Faults
) -> None:
    kept = (recording_item(shortcut.recording(phone.user_id)) for _ in range(10_000))
    shortcut.put(settings.table, kept)
    calls = faults.record()
    begun = time.process_time()
    answer = phone.export()

    # Most of it is moto's.
    assert time.process_time() - begun < http.SECONDS / 2
    assert [call.name for call in calls].count("dynamodb.Query") < 10
    assert len(fetch(answer.json["url"]).json()["recordings"]) == 10_000
