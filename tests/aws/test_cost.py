"""Cost: what a request takes is the same however much other people keep."""

from __future__ import annotations

import gc
import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from chalicelib import jobs
from chalicelib.api.http import Route
from chalicelib.api.web import files
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import due, recording_item
from chalicelib.aws.s3.foreign import check_copies
from chalicelib.core.ids import uuid7
from chalicelib.settings import Settings
from chalicelib.wiring import services
from tests.conftest import DEEP, LAMBDA
from tests.core.recordings.test_browsers import Page
from tests.support import shortcut
from tests.support.faults import Faults
from tests.support.listening import listen_instantly
from tests.support.mail import delivered_to, link_for, token_in
from tests.support.phone import PASSWORD, Answer, Phone
from tests.support.routes import ROUTES, ask, named
from tests.support.use_cases import token

# A hundred thousand items stand in moto's memory as one.
pytestmark = pytest.mark.emulator

SIZES = (1_000, 10_000, 100_000) if DEEP else (1_000,)
SOUND = b"some sound"
BY_NAME = {named(route): route for route in ROUTES}
UPLOAD_ID = re.compile(rb'"upload_id": *{"S": *"[^"]*"}')
_numbers = itertools.count(1)

Ask = Callable[[], object]
Prepare = Callable[[Phone], Ask]


class Cost(NamedTuple):
    """What a request took."""

    calls: list[str]
    """The calls to AWS, by name and in their order."""
    read: list[tuple[int, int]]
    """How many items DynamoDB looked at for each answer of its own, and the answer's bytes.

    Not what it says of consumed capacity: moto says the same of every call.
    """


# What is asked for. Routes that are not here are asked for what their declaration tells.


def trashing(phone: Phone) -> Ask:
    id = phone.upload(SOUND)
    return lambda: phone.trash(id)


def restoring(phone: Phone) -> Ask:
    id = phone.upload(SOUND)
    phone.trash(id)
    return lambda: phone.restore(id)


def deleting_for_good(phone: Phone) -> Ask:
    id = phone.upload(SOUND)
    return lambda: phone.delete_for_good(id)


def going_on_with_the_feed(phone: Phone) -> Ask:
    cursor = phone.get("/recordings/changes").json["cursor"]
    phone.upload(SOUND)
    return lambda: phone.get("/recordings/changes", query={"since": cursor})


def turning_a_page(phone: Phone) -> Ask:
    ids = sorted(phone.upload(SOUND) for _ in range(3))
    return lambda: phone.get("/recordings", query={"after": ids[2], "limit": 1})


def signing_up(_: Phone) -> Ask:
    body = {"email": address(), "password": PASSWORD}
    return lambda: Phone().post("/auth/signup", body)


def confirming_an_address(phone: Phone) -> Ask:
    [letter] = delivered_to(phone.email)
    return lambda: phone.post("/auth/email/confirm", {"token": token_in(letter)})


def resetting_a_password(phone: Phone) -> Ask:
    body = {"token": link_for(phone), "new_password": PASSWORD}
    return lambda: phone.post("/auth/password/reset", body)


def signing_in(by: str) -> Prepare:
    """Somebody who has signed in before."""

    def prepare(phone: Phone) -> Ask:
        claims = {"email": f"fay.{phone.email}", "email_verified": True}
        body = {"id_token": token(services()._clock, by, f"fay {phone.user_id}", **claims)}
        assert Phone().post(f"/auth/{by}", body).status == 201
        return lambda: Phone().post(f"/auth/{by}", body)

    return prepare


def adding(by: str) -> Prepare:
    def prepare(phone: Phone) -> Ask:
        body = {"id_token": token(services()._clock, by, phone.user_id), "password": PASSWORD}
        return lambda: phone.post(f"/me/sign-in/{by}", body)

    return prepare


def removing_the_password(phone: Phone) -> Ask:
    adding("google")(phone)()
    return lambda: phone.delete("/me/sign-in/password")


def sending_a_part_again(phone: Phone) -> Ask:
    id = phone.announce(SOUND, upload_method="multipart").json["recording"]["id"]
    return lambda: phone.get(f"/recordings/{id}/upload/parts/1")


def signing_for_a_browser(phone: Phone) -> Ask:
    id = phone.announce(SOUND).json["recording"]["id"]
    page = Page.of(phone, services()._clock, services().settings)
    return lambda: page.sign_text(page.beginning(id))


def opening_a_link(phone: Phone) -> Ask:
    link = sharing(phone).json["code"]
    return lambda: phone.get(f"/s/{link}", headers={"Accept": "application/json"})


def taking_a_link_back(phone: Phone) -> Ask:
    link = sharing(phone).json
    id, code = phone.listed()[0], link["code"]
    return lambda: phone.delete(f"/recordings/{id}/links/{code}")


def sharing(phone: Phone) -> Answer:
    return phone.post(f"/recordings/{phone.upload(SOUND)}/links")


def announcing_pieces(phone: Phone) -> Ask:
    id = phone.record(b"some ")
    return lambda: phone.announce_pieces(id, 5, b"sound")


def announcing_pieces_again(phone: Phone) -> Ask:
    id = phone.record(SOUND)
    return lambda: phone.announce_pieces(id, 0, SOUND)


def completing_a_live_one(phone: Phone) -> Ask:
    id = phone.record(b"some ", b"sound")
    return lambda: phone.complete(id, {"size": len(SOUND)})


def completing(phone: Phone) -> Ask:
    id = phone.deliver(SOUND)
    return lambda: phone.complete(id)


def resuming(phone: Phone) -> Ask:
    id = phone.deliver(SOUND)
    return lambda: phone.resume(id)


def logging_in_after_a_failure(phone: Phone) -> Ask:
    phone.log_in(password="not my password")
    return phone.log_in


def logging_in_on_a_known_device(phone: Phone) -> Ask:
    return lambda: phone.log_in(refresh_token=phone.tokens["refresh_token"])


def announcing_again(phone: Phone) -> Ask:
    id = uuid7()
    phone.announce(SOUND, id=id)
    return lambda: phone.announce(SOUND, id=id)


def announcing_25_again(phone: Phone) -> Ask:
    new = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 1}
    batch = {"recordings": [new | {"id": uuid7()} for _ in range(25)]}
    phone.post("/recordings/batch", batch)
    return lambda: phone.post("/recordings/batch", batch)


def sending_again(phone: Phone) -> Ask:
    id = phone.upload_directly(SOUND)
    return lambda: phone.put_audio(id, SOUND)


def upkeep(phone: Phone) -> Ask:
    phone.deliver(SOUND)
    return lambda: jobs.upkeep({}, LAMBDA)


def upkeep_with_an_upload_to_end(phone: Phone) -> Ask:
    due_at = datetime.now(UTC) - timedelta(hours=1)
    upload = shortcut.recording(phone.user_id, "uploading", upload_expires_at=due_at)
    shortcut.put(services().settings.table, [recording_item(upload)])
    return upkeep(phone)


def noticing(phone: Phone) -> Ask:
    id = phone.deliver(SOUND)
    bucket, key = services().settings.uploads_bucket, f"{phone.user_id}/{id}"
    etag = services().clients.s3.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    event = {"detail": {"bucket": {"name": bucket}, "object": {"key": key, "etag": etag}}}
    return lambda: jobs.notice(event, LAMBDA)


def drawing(phone: Phone) -> Ask:
    id = phone.upload(SOUND)
    listen_instantly(phone, id)
    return lambda: phone.get(f"/recordings/{id}/waveform")


def listening(phone: Phone) -> Ask:
    id = phone.upload(SOUND)
    return lambda: listen_instantly(phone, id)


# The first two words are the route; what follows tells several requests of one apart.
REQUESTS: dict[str, Prepare] = {
    "POST /auth/signup": signing_up,
    "POST /auth/google": signing_in("google"),
    "POST /auth/apple": signing_in("apple"),
    "POST /me/sign-in/google": adding("google"),
    "POST /me/sign-in/apple": adding("apple"),
    "DELETE /me/sign-in/password": removing_the_password,
    "POST /auth/login after a failure": logging_in_after_a_failure,
    "POST /auth/login on a known device": logging_in_on_a_known_device,
    "POST /auth/email/confirm": confirming_an_address,
    "POST /auth/password/reset": resetting_a_password,
    "POST /recordings again": announcing_again,
    "POST /recordings/batch again": announcing_25_again,
    "PUT /recordings/{id}/audio again": sending_again,
    "GET /recordings": lambda phone: lambda: phone.get("/recordings"),
    "GET /recordings after one": turning_a_page,
    "GET /recordings by a word": lambda phone: (
        lambda: phone.get("/recordings", query={"q": "clip"})
    ),
    "GET /recordings/{id}/waveform": drawing,
    "GET /recordings/changes": lambda phone: lambda: phone.get("/recordings/changes"),
    "GET /recordings/changes since": going_on_with_the_feed,
    "GET /recordings/{id}/upload": resuming,
    "GET /recordings/{id}/upload/parts/{number}": sending_a_part_again,
    "DELETE /recordings/{id}/links/{code}": taking_a_link_back,
    "POST /uploads/sign": signing_for_a_browser,
    "GET /s/{code}": opening_a_link,
    "GET /web/{folder}/{name}": lambda phone: lambda: phone.get(f"/web/{files.recorder()}/main.js"),
    "POST /recordings/{id}/complete": completing,
    "POST /recordings/{id}/complete of a live one": completing_a_live_one,
    "POST /recordings/{id}/pieces": announcing_pieces,
    "POST /recordings/{id}/pieces again": announcing_pieces_again,
    "PUT /recordings/{id}/audio": lambda phone: lambda: phone.put_audio(uuid7(), SOUND),
    "POST /recordings/{id}/restore": restoring,
    "DELETE /recordings/{id}": trashing,
    "DELETE /recordings/{id} for good": deleting_for_good,
    "the job upkeep": upkeep,
    "the job upkeep with an upload to end": upkeep_with_an_upload_to_end,
    "the job notice": noticing,
    "the job listen": listening,
}

# How many calls to AWS each takes. One of them is the gate's, but where nobody need be logged in.
CALLS = {
    "DELETE /me": 5,  # guess, close, take back, and a look at the exports
    "DELETE /me/sessions/{session_id}": 2,
    "DELETE /me/sign-in/apple": 1,  # of one that there is none of
    "DELETE /me/sign-in/google": 1,
    "DELETE /me/sign-in/password": 2,
    "DELETE /recordings/{id}": 2,
    "DELETE /recordings/{id} for good": 5,  # the tombstone, then S3: its versions, both buckets
    "DELETE /recordings/{id}/links/{code}": 3,  # the link by its code, then both of its items
    "GET /": 0,
    "GET /auth/email/confirm": 0,
    "GET /auth/password/reset": 0,
    "GET /auth/return": 0,
    "POST /auth/return": 0,
    "GET /blank": 0,
    "GET /config": 0,
    "GET /docs": 0,
    "GET /health": 0,
    "GET /me": 1,
    "GET /me/sessions": 2,
    "GET /openapi.json": 0,
    "GET /recordings": 2,
    "GET /recordings after one": 2,
    "GET /recordings by a word": 2,
    "GET /recordings/{id}/waveform": 2,
    "GET /recordings/changes": 2,
    "GET /recordings/changes since": 2,
    "GET /recordings/{id}": 1,
    "GET /recordings/{id}/links": 2,
    "GET /recordings/{id}/upload": 2,
    "GET /recordings/{id}/upload/parts/{number}": 1,
    "GET /s/{code}": 2,  # the link with its source's window, the recording with its account
    "GET /web/{folder}/{name}": 0,
    "PATCH /me": 2,
    "PATCH /recordings/{id}": 2,
    "POST /auth/apple": 4,  # its source's window, whose it is, the account, session
    "POST /auth/email/confirm": 2,
    "POST /auth/google": 4,
    "POST /auth/login": 5,  # address, account, guess, take back, session
    "POST /auth/login after a failure": 6,  # its window stays open
    "POST /auth/login on a known device": 5,
    "POST /auth/logout": 2,
    "POST /auth/password/forgot": 2,
    "POST /auth/password/reset": 4,
    "POST /auth/refresh": 2,
    "POST /auth/signup": 2,
    "POST /me/email": 6,  # guess, take back, count, whether it is taken, and the transaction
    "POST /me/email/confirmation": 3,
    "POST /me/export": 11,  # guess, take back, count, former, note, read, write, still in
    "POST /me/password": 5,
    "POST /me/sign-in/apple": 6,  # guess, take back, its source's window, whose, the transaction
    "POST /me/sign-in/google": 6,
    "POST /recordings": 2,
    "POST /recordings again": 3,
    "POST /recordings/batch": 2,
    "POST /recordings/batch again": 3,
    "POST /recordings/{id}/complete": 6,  # a look at both buckets, the copy, ready, discard
    "POST /recordings/{id}/links": 3,  # those there are, and the transaction
    # Besides: what has arrived, its end, the pieces, one after the other, and what is left of them.
    "POST /recordings/{id}/complete of a live one": 18,
    "POST /recordings/{id}/pieces": 2,
    "POST /recordings/{id}/pieces again": 2,
    "POST /recordings/{id}/restore": 2,
    "POST /uploads/sign": 3,  # the recording that its key names, and the count
    "PUT /recordings/{id}/audio": 4,
    "PUT /recordings/{id}/audio again": 3,
    # And what the process that listens reads of S3, by ranges.
    "the job listen": 3,
    "the job notice": 6,
    "the job upkeep": 4,  # a look at each shard of what is due
    "the job upkeep with an upload to end": 12,
}


def address() -> str:
    """A new address, as long as any other of them."""
    return f"user{next(_numbers):06}@example.com"


def somebody() -> Phone:
    phone = Phone()
    phone.email = address()
    return phone.sign_up()


def as_declared(route: Route) -> Prepare:
    """A request of a route, as its declaration tells: its ids and fields are the user's own."""

    def prepare(phone: Phone) -> Ask:
        id = phone.session_id if "session" in route.path else phone.upload(SOUND)
        own = {
            "email": phone.email,
            "password": PASSWORD,
            "current_password": PASSWORD,
            "refresh_token": phone.tokens["refresh_token"],
        }
        fields = msgspec.structs.fields(route.body) if route.body else ()
        # A password is a proof, in place of which an id token would do.
        needed = [each.name for each in fields if each.required or each.name == "password"]
        given = {name: own[name] for name in needed if name in own}
        return lambda: ask(phone, route, id=id, **given)

    return prepare


CASES = REQUESTS | {
    name: as_declared(route) for name, route in BY_NAME.items() if name not in REQUESTS
}


@pytest.fixture(scope="module")
def others(
    settings: Settings, forget: Callable[[], None]
) -> Iterator[dict[int, Callable[[], None]]]:
    """Puts recordings of other people into the table: nobody's, and as many as SIZES has."""
    far = datetime.now(UTC) + timedelta(days=3650)
    there, settle_in = 0, {0: lambda: None}
    for size in SIZES:
        for status in ("ready", "uploading", "trashed"):
            recording = shortcut.recording(uuid7(), status)
            item = recording_item(recording)
            if status != "ready":
                item |= due(recording.id, far)
            shortcut.crowd(settings.table, item, (size - there) // 3)
        settle_in[size] = shortcut.kept(settings.table)
        there = size
    forget()
    # Hundreds of thousands of objects, which each collection would look at again.
    gc.freeze()
    yield settle_in
    gc.unfreeze()


@pytest.fixture
def cost(faults: Faults, clients: Clients, settings: Settings) -> Callable[[Prepare], Cost]:
    """Measures what a request of somebody new takes, once a process has found out about its S3."""
    check_copies(clients.s3, settings.uploads_bucket)

    def cost(prepare: Prepare) -> Cost:
        ask = prepare(somebody())
        calls, answers = faults.record(), faults.answered("dynamodb")
        answer = ask()
        faults.clear()
        if isinstance(answer, Answer):
            assert answer.status < 400, f"REQUESTS should say what is asked for: {answer.text}"
        read = [
            # moto's names of multipart uploads are not all of one length.
            (parsed.get("ScannedCount", parsed.get("Count", 1)), len(UPLOAD_ID.sub(b"", content)))
            for parsed, content in answers
        ]
        # Which partition of an index a recording is in, its id decides.
        return Cost([call.name for call in calls], sorted(read))

    return cost


@pytest.mark.parametrize("name", CASES)
def test_a_request_takes_just_so_many_calls(name: str, cost: Callable[[Prepare], Cost]) -> None:
    calls = cost(CASES[name]).calls

    assert len(calls) == CALLS.get(name), f"Is it worth it? CALLS is to say so: {calls}"


@pytest.mark.deep
@pytest.mark.parametrize("prepare", CASES.values(), ids=CASES)
def test_what_other_people_keep_costs_nobody_else_anything(
    prepare: Prepare,
    cost: Callable[[Prepare], Cost],
    others: dict[int, Callable[[], None]],
    forget: Callable[[], None],
) -> None:
    costs = {}
    for size, settle_in in others.items():
        settle_in()
        costs[size] = cost(prepare)
        forget()

    assert costs == dict.fromkeys(costs, costs[0])


def test_what_reads_the_whole_table_costs_more_with_each_recording(
    cost: Callable[[Prepare], Cost],
    others: dict[int, Callable[[], None]],
    clients: Clients,
    settings: Settings,
) -> None:
    def scan() -> None:
        clients.dynamodb.scan(
            TableName=settings.table,
            FilterExpression="pk = :nobody",
            ExpressionAttributeValues={":nobody": {"S": "nobody"}},
        )

    alone = cost(lambda _: scan)
    others[1_000]()

    assert cost(lambda _: scan) != alone


def test_every_request_is_of_a_route_or_a_job() -> None:
    assert {" ".join(name.split()[:2]) for name in REQUESTS} <= {*BY_NAME, "the job"}
