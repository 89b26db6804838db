"""S3's events: completion without the app."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from chalice.app import Chalice, CloudWatchEventConfig

from app import app
from chalicelib import jobs
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.errors import Unavailable
from chalicelib.settings import Settings
from tests.conftest import LAMBDA
from tests.core.recordings.conftest import PutIn
from tests.support import ROOT
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Phone, send

SOUND = b"some sound"
OTHER = b"else sound"
LONG = b"in parts"

pytestmark = pytest.mark.usefixtures("small_parts")

Event = dict[str, Any]
Arrived = Callable[..., Event]


@pytest.fixture
def created(settings: Settings) -> Callable[..., Event]:
    """S3's event that an object was created, as EventBridge hands it on.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
    """

    def make(key: str, etag: str, bucket: str = settings.uploads_bucket) -> Event:
        return {
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": "111122223333",
            "time": "2026-11-12T00:00:00Z",
            "region": "us-east-1",
            "resources": [f"arn:aws:s3:::{bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": {"key": key, "size": 5, "etag": etag, "sequencer": "617f08299329d189"},
                "request-id": "N4N7GDK58NMKJ12R",
                "requester": "123456789012",
                "source-ip-address": "1.2.3.4",
                "reason": "PutObject",
            },
        }

    return make


@pytest.fixture
def arrived(created: Callable[..., Event], onlookers: Clients, settings: Settings) -> Arrived:
    """The event of what is in the uploads bucket for a recording."""

    def look(phone: Phone, id: str) -> Event:
        key = f"{phone.user_id}/{id}"
        head = onlookers.s3.head_object(Bucket=settings.uploads_bucket, Key=key)
        return created(key, head["ETag"].strip('"'))

    return look


def notice(event: Event) -> None:
    """What Lambda does with an event."""
    jobs.notice(json.loads(json.dumps(event)), LAMBDA)


# What an event completes.


@pytest.mark.parametrize("method", ["put", "post"])
def test_an_upload_whose_app_never_calls_is_completed(
    phone: Phone, arrived: Arrived, held: Held, method: str
) -> None:
    id = phone.deliver(SOUND, upload_method=method)
    notice(arrived(phone, id))

    assert phone.listed() == [id]
    assert phone.download(id).content == SOUND
    assert held("uploads", phone.user_id) == {}
    assert phone.complete(id).json["status"] == "ready"


def test_parts_whose_complete_died_once_they_were_assembled_are_completed(
    phone: Phone, faults: Faults, arrived: Arrived, held: Held
) -> None:
    id = phone.deliver(LONG, upload_method="multipart")
    faults.lose_the_answer("s3", "CompleteMultipartUpload")
    phone.complete(id)
    faults.clear()
    notice(arrived(phone, id))

    assert phone.listed() == [id]
    assert phone.download(id).content == LONG
    assert held("uploads", phone.user_id) == {}


def test_an_event_that_comes_twice_changes_nothing_the_second_time(
    phone: Phone, arrived: Arrived, held: Held
) -> None:
    id = phone.deliver(SOUND)
    event = arrived(phone, id)
    notice(event)
    ready = phone.get(f"/recordings/{id}").json
    ready.pop("audio")
    notice(event)

    again = phone.get(f"/recordings/{id}").json
    again.pop("audio")
    assert again == ready
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_the_event_of_an_object_that_was_replaced_completes_what_is_there(
    phone: Phone, arrived: Arrived
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)
    first = arrived(phone, id)
    send(begun["upload"], OTHER)
    second = arrived(phone, id)
    notice(second)
    notice(first)

    assert phone.download(id).content == OTHER


def test_an_event_before_the_bytes_can_be_seen_completes_nothing(
    phone: Phone, created: Callable[..., Event]
) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    notice(created(f"{phone.user_id}/{id}", "0" * 32))

    assert phone.listed(status="uploading") == [id]


def test_other_bytes_than_announced_are_left_for_the_app_to_hear_of(
    phone: Phone, arrived: Arrived, held: Held, put_in: PutIn
) -> None:
    begun = phone.announce(SOUND, sha256=hashlib.sha256(SOUND).hexdigest()).json
    id = begun["recording"]["id"]
    put_in(phone, id, OTHER)
    notice(arrived(phone, id))
    assert held("recordings", phone.user_id) == {}

    assert phone.complete(id).code == "upload_mismatch"
    assert held("uploads", phone.user_id) == {}
    send(begun["upload"], SOUND)
    notice(arrived(phone, id))
    assert phone.download(id).content == SOUND


# What comes too late.


@pytest.mark.parametrize("status", ["ready", "trashed"])
def test_what_arrives_for_a_finished_recording_is_deleted_and_changes_nothing(
    phone: Phone, arrived: Arrived, held: Held, stored: Callable[..., list[Item]], status: str
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)
    phone.complete(id)
    if status == "trashed":
        phone.delete(f"/recordings/{id}")
    before = stored(account_key(phone.user_id)["pk"])
    send(begun["upload"], OTHER)
    notice(arrived(phone, id))

    assert held("uploads", phone.user_id) == {}
    assert held("recordings", phone.user_id) == {id: [SOUND]}
    assert stored(account_key(phone.user_id)["pk"]) == before


def test_what_arrives_for_a_deleted_recording_is_deleted(
    phone: Phone, arrived: Arrived, held: Held, invariants: Invariants
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    phone.delete(f"/recordings/{id}")
    send(begun["upload"], SOUND)
    notice(arrived(phone, id))

    assert (held("uploads", phone.user_id), held("recordings", phone.user_id)) == ({}, {})
    assert phone.get(f"/recordings/{id}").status == 404
    assert invariants.broken(phone.user_id) == []


def test_what_arrives_for_nobody_is_deleted(
    phone: Phone, other: Phone, arrived: Arrived, clients: Clients, settings: Settings, held: Held
) -> None:
    id = phone.announce(SOUND).json["recording"]["id"]
    # Another user has no recording of this id.
    clients.s3.put_object(Bucket=settings.uploads_bucket, Key=f"{other.user_id}/{id}", Body=SOUND)
    notice(arrived(other, id))

    assert held("uploads", other.user_id) == {}
    assert other.get(f"/recordings/{id}").status == 404
    assert phone.listed(status="uploading") == [id]


def test_a_late_event_deletes_only_the_object_that_it_is_about(
    phone: Phone, arrived: Arrived, held: Held
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)
    first = arrived(phone, id)
    phone.complete(id)
    send(begun["upload"], OTHER)
    second = arrived(phone, id)
    notice(first)
    assert held("uploads", phone.user_id) == {id: [OTHER]}

    notice(second)
    assert held("uploads", phone.user_id) == {}


# What is none of ours.


def test_keys_that_are_no_recordings_are_left_alone(
    phone: Phone, created: Callable[..., Event], faults: Faults
) -> None:
    id = phone.deliver(SOUND)
    calls = faults.record()
    for key in (
        "exports/{user}/{id}.json",
        "{user}",
        "{user}/",
        "{id}",
        "{user}/{id}/more",
        "more/{user}/{id}",
        "{user}/{id}\n",
        "{user}/not-an-id",
        "",
    ):
        notice(created(key.format(user=phone.user_id, id=id), "0" * 32))
        assert calls == [], key


def test_an_event_of_another_bucket_is_left_alone(
    phone: Phone, created: Callable[..., Event], faults: Faults, settings: Settings
) -> None:
    key = f"{phone.user_id}/{phone.deliver(SOUND)}"
    calls = faults.record()
    notice(created(key, "0" * 32, bucket=settings.recordings_bucket))

    assert calls == []


# When AWS fails, and at the same moment.


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("dynamodb", "GetItem"),
        ("s3", "CopyObject"),
    ],
)
def test_what_aws_fails_at_is_raised_so_that_lambda_calls_again(
    phone: Phone, faults: Faults, arrived: Arrived, held: Held, service: str, operation: str
) -> None:
    id = phone.deliver(SOUND)
    event = arrived(phone, id)
    faults.refuse(service, operation)
    with pytest.raises(Unavailable):
        notice(event)
    faults.clear()
    notice(event)

    assert phone.listed() == [id]
    assert held("recordings", phone.user_id) == {id: [SOUND]}


def test_what_could_not_be_deleted_is_raised_too(
    phone: Phone, faults: Faults, arrived: Arrived, held: Held
) -> None:
    begun = phone.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)
    phone.complete(id)
    send(begun["upload"], OTHER)
    event = arrived(phone, id)
    faults.refuse("s3", "DeleteObject")
    with pytest.raises(Unavailable):
        notice(event)
    faults.clear()
    notice(event)

    assert held("uploads", phone.user_id) == {}


def complete(phone: Phone, id: str) -> None:
    assert phone.complete(id).status == 200


def test_the_event_and_the_app_may_complete_at_the_same_moment(
    phone: Phone, faults: Faults, arrived: Arrived, held: Held, invariants: Invariants
) -> None:
    calls = faults.calls_of(partial(notice, arrived(phone, phone.deliver(SOUND))))
    for number, call in enumerate(calls):
        id = phone.deliver(SOUND)
        event = arrived(phone, id)
        faults.interrupt_at(number, partial(complete, phone, id))
        notice(event)
        assert faults.met == 1
        faults.clear()

        assert phone.download(id).content == SOUND, call
    assert held("uploads", phone.user_id) == {}
    assert invariants.broken(phone.user_id) == []


def test_an_upload_that_is_rolled_back_while_its_event_completes_it_leaves_nothing(
    phone: Phone,
    faults: Faults,
    arrived: Arrived,
    run_down: Callable[[], None],
    invariants: Invariants,
) -> None:
    calls = faults.calls_of(partial(notice, arrived(phone, phone.deliver(SOUND))))
    for number, call in enumerate(calls):
        id = phone.deliver(SOUND)
        event = arrived(phone, id)
        faults.interrupt_at(number, partial(phone.delete_for_good, id))
        notice(event)
        faults.clear()

        assert phone.get(f"/recordings/{id}").status == 404, call
        assert invariants.broken(phone.user_id) == [], call
    run_down()
    assert invariants.broken_at_rest(phone.user_id) == []


# How Lambda comes to call it.


def test_the_handler_runs_in_a_process_that_never_imported_the_app(
    phone: Phone, arrived: Arrived
) -> None:
    id = phone.deliver(SOUND)
    code = (
        "import json, sys\n"
        "from types import SimpleNamespace\n"
        "from chalicelib import jobs\n"
        "context = SimpleNamespace(\n"
        "    aws_request_id='', get_remaining_time_in_millis=lambda: 30_000)\n"
        "jobs.notice(json.load(sys.stdin), context)\n"
        "assert 'app' not in sys.modules and 'chalicelib.api' not in sys.modules\n"
    )
    event = json.dumps(arrived(phone, id))
    subprocess.run([sys.executable, "-c", code], input=event, text=True, check=True, cwd=ROOT)

    assert phone.listed() == [id]
    assert phone.download(id).content == SOUND


@pytest.fixture
def registered(settings: Settings) -> CloudWatchEventConfig:
    """What is deployed for S3's events."""
    deployed = Chalice("recorder", env={})
    deployed.register_blueprint(jobs.blueprint(settings))
    [source] = [source for source in deployed.event_sources if source.name == "notice"]
    assert isinstance(source, CloudWatchEventConfig)
    return source


def matches(pattern: Any, event: Any) -> bool:
    """Whether EventBridge hands an event on: each field of the pattern has one of its values."""
    if isinstance(pattern, list):
        return event in pattern
    return all(field in event and matches(pattern[field], event[field]) for field in pattern)


def test_what_is_deployed_is_called_by_a_name_that_can_be_imported(
    registered: CloudWatchEventConfig,
) -> None:
    assert registered.handler_string == "chalicelib.jobs.notice"
    assert {"notice", "upkeep"} <= {source.name for source in app.event_sources}


def test_exactly_what_is_created_in_the_uploads_bucket_is_handed_on(
    registered: CloudWatchEventConfig, created: Callable[..., Event], settings: Settings
) -> None:
    event = created("a/b", "0" * 32)
    pattern = registered.event_pattern

    assert matches(pattern, event)
    assert not matches(pattern, created("a/b", "0" * 32, bucket=settings.recordings_bucket))
    assert not matches(pattern, event | {"detail-type": "Object Deleted"})
    assert not matches(pattern, event | {"source": "somebody"})
