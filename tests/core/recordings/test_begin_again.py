"""Uploads that expired and begin again under their id, also while upkeep is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.core.ids import uuid7
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.support.faults import Died, Faults
from tests.support.invariants import Invariants
from tests.support.phone import Answer, Phone, send

SHORT = b"some sound"
LONG = b"in parts"
SOUNDS = {"put": SHORT, "post": SHORT, "multipart": LONG}

METHODS = ["put", pytest.param("multipart", marks=pytest.mark.deep)]

pytestmark = pytest.mark.usefixtures("small_parts")

Expire = Callable[[Phone, str], None]


def begin(phone: Phone, method: str = "put") -> str:
    """Announce a recording and send nothing; its id."""
    begun = phone.announce(SOUNDS[method], upload_method=method)
    return str(begun.json["recording"]["id"])


# Under its id.


def announce_again(phone: Phone, id: str) -> Answer:
    return phone.announce(SHORT, id=id)


def announce_in_parts(phone: Phone, id: str) -> Answer:
    return phone.announce(LONG, id=id, upload_method="multipart")


def announce_in_a_batch(phone: Phone, id: str) -> Answer:
    told = {"id": id, "file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SHORT)}
    return phone.post("/recordings/batch", {"recordings": [told, told | {"id": uuid7()}]})


def send_directly(phone: Phone, id: str) -> Answer:
    return phone.put_audio(id, SHORT)


WAYS = [announce_again, announce_in_parts, announce_in_a_batch, send_directly]


@pytest.mark.parametrize("owing", [True, False], ids=["owing", "settled"])
@pytest.mark.parametrize("way", WAYS)
def test_what_expired_can_begin_again_under_its_id_as_a_later_version(
    phone: Phone,
    clock: Clock,
    services: Services,
    expire: Expire,
    way: Callable[[Phone, str], Answer],
    owing: bool,
) -> None:
    id = begin(phone)
    expire(phone, id)
    if not owing:
        clock.advance(minutes=16)
        assert services.upkeep.run().settled == 1
    assert way(phone, id).status == 201

    began = phone.get(f"/recordings/{id}").json
    assert began["version"] > 2
    if began["status"] == "uploading":
        resumed = phone.resume(id).json["upload"]
        send(resumed, LONG if resumed["method"] == "multipart" else SHORT)
        assert phone.complete(id).status == 200
    clock.advance(days=8)
    services.upkeep.run()
    assert phone.listed() == [id]
    assert phone.download(id).content == (LONG if way is announce_in_parts else SHORT)


def test_what_expired_may_begin_again_as_something_else(phone: Phone, expire: Expire) -> None:
    id = begin(phone)
    expire(phone, id)

    assert phone.upload(b"another sound", id=id, file_name="other.m4a") == id
    assert phone.download(id).content == b"another sound"
    assert phone.usage() == (13, 1)


def test_what_expired_has_to_fit_the_quota_to_begin_again(
    phone: Phone, expire: Expire, configure: Callable[..., None]
) -> None:
    id = begin(phone)
    expire(phone, id)
    configure(quota_bytes=len(SHORT))
    phone.upload(SHORT)

    assert announce_again(phone, id).code == "quota_exceeded"
    assert phone.usage() == (len(SHORT), 1)


def test_what_expired_begins_again_once_when_two_ask_at_once(
    phone: Phone, expire: Expire, faults: Faults
) -> None:
    id = begin(phone)
    expire(phone, id)
    quicker: list[int] = []
    # The first finds that something stands there; the second is about to take its place.
    ask = partial(announce_again, phone, id)
    faults.meanwhile("dynamodb", "BatchGetItem", lambda: quicker.append(ask().status), after=1)

    assert (ask().status, quicker) == (200, [201])
    assert phone.usage() == (len(SHORT), 1)


def test_what_expired_can_expire_and_begin_again_any_number_of_times(
    phone: Phone, expire: Expire
) -> None:
    id = begin(phone)
    versions = []
    for _ in range(3):
        expire(phone, id)
        versions.append(announce_again(phone, id).json["recording"]["version"])

    assert versions == sorted(set(versions))
    assert phone.usage() == (len(SHORT), 1)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_deleted_cannot_begin_again(
    phone: Phone, way: Callable[[Phone, str], Answer]
) -> None:
    id = begin(phone)
    phone.delete(f"/recordings/{id}")
    refused = way(phone, id)

    assert (refused.status, refused.code) == (404, "not_found")
    assert phone.usage() == (0, 0)


def test_what_expired_and_was_then_deleted_cannot_begin_again(phone: Phone, expire: Expire) -> None:
    id = begin(phone)
    expire(phone, id)
    phone.delete(f"/recordings/{id}")

    assert [way(phone, id).code for way in WAYS] == ["not_found"] * 4


# While upkeep is at work.


@pytest.fixture
def about_to_settle(clock: Clock, expire: Expire) -> Callable[[str], tuple[Phone, str]]:
    """Leaves the tombstone of an upload that expired, due to be settled."""

    def leave(method: str) -> tuple[Phone, str]:
        phone = Phone().sign_up()
        id = begin(phone, method)
        expire(phone, id)
        clock.advance(minutes=16)
        return phone, id

    return leave


@pytest.mark.parametrize("method", METHODS)
def test_upkeep_deletes_nothing_of_what_began_again_while_it_settled_a_tombstone(
    about_to_settle: Callable[[str], tuple[Phone, str]],
    services: Services,
    faults: Faults,
    run_down: Callable[[], None],
    method: str,
) -> None:
    about_to_settle(method)
    calls = faults.calls_of(services.upkeep.run)
    assert "s3.ListObjectVersions" in calls
    for number, call in enumerate(calls):
        phone, id = about_to_settle(method)
        faults.interrupt_at(number, partial(phone.upload, SHORT, id=id))
        services.upkeep.run()
        assert faults.met == 1
        faults.clear()

        run_down()
        assert phone.download(id).content == SHORT, call


def test_what_was_sent_while_upkeep_settled_a_tombstone_is_completed(
    about_to_settle: Callable[[str], tuple[Phone, str]], services: Services, faults: Faults
) -> None:
    about_to_settle("put")
    for number, call in enumerate(faults.calls_of(services.upkeep.run)):
        phone, id = about_to_settle("put")
        faults.interrupt_at(number, partial(phone.deliver, SHORT, id=id))
        services.upkeep.run()
        faults.clear()

        assert phone.complete(id).status == 200, call


@pytest.mark.parametrize("method", METHODS)
def test_upkeep_deletes_nothing_of_what_began_again_while_it_ended_the_upload(
    clock: Clock, services: Services, faults: Faults, invariants: Invariants, method: str
) -> None:
    def about_to_end() -> tuple[Phone, str]:
        phone = Phone().sign_up()
        id = begin(phone, method)
        clock.advance(days=8)
        return phone, id

    about_to_end()
    for number, call in enumerate(faults.calls_of(services.upkeep.run)):
        phone, id = about_to_end()

        def meanwhile(phone: Phone = phone, id: str = id) -> None:
            services.upkeep.run()
            phone.upload(b"another sound", id=id)

        faults.interrupt_at(number, meanwhile)
        services.upkeep.run()
        assert faults.met == 1
        faults.clear()

        assert phone.download(id).content == b"another sound", call
        assert invariants.broken(phone.user_id) == [], call


def test_parts_that_expired_leave_nothing_when_they_begin_again_in_one(
    phone: Phone, expire: Expire, run_down: Callable[[], None], invariants: Invariants
) -> None:
    id = begin(phone, "multipart")
    expire(phone, id)
    phone.upload(SHORT, id=id)
    run_down()

    assert invariants.broken_at_rest(phone.user_id) == []


# What one left behind is not the next one's.


@pytest.fixture
def dies(clients: Clients) -> Iterator[Callable[[str, str, Callable[[], object]], None]]:
    """Has the process die on a call, whatever else is injected meanwhile."""
    faults = Faults(clients)

    def dies(service: str, operation: str, request: Callable[[], object]) -> None:
        faults.meanwhile(service, operation, _die)
        with pytest.raises(Died):
            request()
        faults.clear()

    yield dies
    faults.clear()


def _die() -> None:
    raise Died


def test_bytes_that_an_expired_upload_left_are_not_those_of_the_next(
    phone: Phone,
    clock: Clock,
    services: Services,
    faults: Faults,
    dies: Callable[[str, str, Callable[[], object]], None],
) -> None:
    begun = phone.announce(SHORT).json
    id = begun["recording"]["id"]
    clock.advance(days=8)

    def arrives_late() -> None:
        send(begun["upload"], SHORT)
        dies("dynamodb", "UpdateItem", lambda: phone.complete(id))

    faults.meanwhile("dynamodb", "TransactWriteItems", arrives_late)
    faults.refuse("s3", "ListObjectVersions")
    services.upkeep.run()
    faults.clear()

    assert phone.upload(b"else sound", id=id, file_name="other.m4a") == id
    assert phone.download(id).content == b"else sound"


def test_upkeep_deletes_nothing_of_a_direct_upload_that_began_again(
    phone: Phone,
    clock: Clock,
    services: Services,
    faults: Faults,
    invariants: Invariants,
    dies: Callable[[str, str, Callable[[], object]], None],
) -> None:
    id = uuid7()
    dies("s3", "PutObject", lambda: phone.put_audio(id, SHORT))
    clock.advance(days=8)
    retry = partial(phone.put_audio, id, SHORT)
    faults.meanwhile(
        "dynamodb", "TransactWriteItems", lambda: dies("dynamodb", "UpdateItem", retry)
    )
    faults.meanwhile("s3", "DeleteObjects", retry)
    services.upkeep.run()
    faults.clear()

    assert phone.put_audio(id, SHORT).status in {200, 201}
    assert invariants.broken(phone.user_id) == []
