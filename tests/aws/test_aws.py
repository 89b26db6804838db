"""How AWS is called: what each request asks for, where it goes, and how long it is waited for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.loaders import Loader
from urllib3 import HTTPResponse

from chalicelib import deadline
from chalicelib.aws import clients as clients_module
from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb import table
from chalicelib.aws.dynamodb.items import to_fields
from chalicelib.core.ids import uuid7
from chalicelib.errors import InternalError
from chalicelib.models.entities import Identity
from tests.support.faults import Faults
from tests.support.phone import Phone, send

SOUND = b"some sound"
EVERY_CLIENT = ["dynamodb", "s3", "s3_copying", "secretsmanager"]
S3_CLIENTS = ["s3", "s3_copying"]
# API Gateway gives up on an answer after so long.
API_GATEWAY_SECONDS = 29
# botocore waits at most 1 s before its second try, and 2 s before its third.
BACK_OFF_SECONDS = 3

# What somebody may have set for other programs.
ANOTHERS_CONFIGURATION = """
[default]
retry_mode = legacy
max_attempts = 9
request_checksum_calculation = when_supported
response_checksum_validation = when_supported
s3 =
    addressing_style = {addressing_style}
    signature_version = s3
"""


# What DynamoDB answers.


def unknown_arguments(**_: object) -> None:
    clients_module._read(response={}, model=None)


def nothing_taken(**given: Any) -> None:
    clients_module._read(**given)
    given["customized_response_dict"].clear()


@pytest.mark.parametrize("event", [None, unknown_arguments, nothing_taken])
def test_what_dynamodb_answers_is_read_whatever_botocore_makes_of_its_event(
    clients: Clients, phone: Phone, event: Callable[..., None] | None
) -> None:
    id, events = phone.upload_directly(SOUND), clients.dynamodb.meta.events
    events.unregister("before-parse.dynamodb", clients_module._read)
    if event:
        events.register("before-parse.dynamodb", event)
    try:
        assert phone.listed() == [id]
        assert phone.patch(f"/recordings/{id}", {"notes": "said"}).json["notes"] == "said"
        assert phone.get(f"/recordings/{uuid7()}").status == 404
    finally:
        events.unregister("before-parse.dynamodb", event or clients_module._read)
        events.register("before-parse.dynamodb", clients_module._read)


def test_what_dynamodb_answers_of_items_is_not_read_by_botocore(
    clients: Clients, phone: Phone
) -> None:
    phone.upload_directly(SOUND)
    left: list[bytes] = []

    def note(response_dict: dict[str, Any], **_: object) -> None:
        left.append(response_dict["body"])

    clients.dynamodb.meta.events.register_last("before-parse.dynamodb", note)
    listed = phone.listed()
    clients.dynamodb.meta.events.unregister("before-parse.dynamodb", note)

    assert len(listed) == 1
    assert left == [b"{}", b"{}"]


# What DynamoDB is asked for.


def test_a_time_is_of_one_length_wherever_in_an_item_it_is() -> None:
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)

    fields = to_fields({"at": at, "google": Identity(subject="fay", added_at=at), "seen": [at]})

    written = "2026-11-29T12:00:00.000000Z"
    assert fields["at"] == fields["google"]["added_at"] == fields["seen"][0] == written


def test_what_was_just_written_is_found(nobody: Phone, faults: Faults) -> None:
    faults.lag()
    nobody.sign_up()
    begun = nobody.announce(SOUND).json
    id = begun["recording"]["id"]
    send(begun["upload"], SOUND)

    assert nobody.complete(id).status == 200
    assert nobody.get(f"/recordings/{id}").json["status"] == "ready"
    assert nobody.usage() == (10, 1)
    assert nobody.listed() == [id]


def test_a_session_that_just_began_can_be_refreshed(nobody: Phone, faults: Faults) -> None:
    faults.lag()

    assert nobody.sign_up().on_another_device().refresh().status == 200


def test_what_was_just_trashed_is_in_the_trash_and_comes_back(phone: Phone, faults: Faults) -> None:
    faults.lag()
    id = phone.upload_directly(SOUND)
    phone.trash(id)

    assert phone.listed(status="trashed") == [id]
    assert phone.restore(id).status == 200
    assert phone.listed() == [id]


def test_a_write_that_meets_transactions_is_tried_for_as_long_as_there_is_time(
    phone: Phone, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "CONFLICT_SECONDS", (0, 0))
    faults.refuse("dynamodb", "UpdateItem", "TransactionConflictException", 400, times=50)

    assert phone.patch("/me", {"name": "Ann"}).status == 200
    assert faults.met == 50


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        ("TransactionCanceledException", ["None", "TransactionConflict"]),
        ("TransactionInProgressException", []),
    ],
)
def test_each_try_of_a_transaction_is_the_same_request_to_dynamodb(
    phone: Phone, faults: Faults, code: str, reasons: list[str]
) -> None:
    cancelled: dict[str, Any] = {"CancellationReasons": [{"Code": reason} for reason in reasons]}
    asked = faults.asked("dynamodb", "TransactWriteItems")
    faults.refuse("dynamodb", "TransactWriteItems", code, 400, times=3, **cancelled)
    assert phone.announce(SOUND).status == 201
    assert phone.announce(SOUND).status == 201

    first, *again, another = [each["ClientRequestToken"] for each in asked]
    assert again == [first] * 3
    assert another != first


# Where S3 is asked, and how. Nothing is sent.


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., AWSPreparedRequest]:
    """The request that a client of the app makes of S3, at AWS or at an endpoint of its own."""

    def send_nothing(name: str, endpoint: str | None = None) -> AWSPreparedRequest:
        for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        set_anothers(monkeypatch, tmp_path, addressing_style="virtual" if endpoint else "path")
        if endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        requests: list[AWSPreparedRequest] = []

        def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            requests.append(request)
            nothing = HTTPResponse(io.BytesIO(), preload_content=False)
            return AWSResponse(request.url, 200, HTTPHeaders(), nothing)

        client = getattr(Clients(custom_s3=bool(endpoint)), name)
        client.meta.events.register("before-send.s3", answer)
        client.put_object(Bucket="recordings", Key="u/r", Body=SOUND)
        return requests[0]

    return send_nothing


def set_anothers(patch: pytest.MonkeyPatch, folder: Path, addressing_style: str) -> None:
    """Have a config file of botocore's say of S3 what we do not want."""
    file = folder / "config"
    file.write_text(ANOTHERS_CONFIGURATION.format(addressing_style=addressing_style))
    patch.setenv("AWS_CONFIG_FILE", str(file))


@pytest.mark.parametrize("name", S3_CLIENTS)
@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, "https://recordings.s3.eu-central-1.amazonaws.com/u/r"),
        ("http://s3.test:9000", "http://s3.test:9000/recordings/u/r"),
    ],
)
def test_a_bucket_is_a_host_at_aws_and_a_path_at_an_endpoint_of_its_own(
    sent: Callable[..., AWSPreparedRequest], name: str, endpoint: str | None, url: str
) -> None:
    request = sent(name, endpoint)

    headers = {key.lower(): str(value) for key, value in request.headers.items()}
    assert request.url == url
    # With a signature of version 4, and no checksum of botocore's.
    assert "AWS4-HMAC-SHA256" in headers["authorization"]
    assert not [key for key in headers if key.startswith(("x-amz-checksum", "x-amz-sdk-checksum"))]


@pytest.mark.parametrize(
    ("endpoint", "signed"),
    [
        (None, "UNSIGNED-PAYLOAD"),
        ("http://s3.test:9000", hashlib.sha256(SOUND).hexdigest()),
    ],
)
def test_what_goes_over_tls_is_not_hashed_for_its_signature_too(
    sent: Callable[..., AWSPreparedRequest], endpoint: str | None, signed: str
) -> None:
    said: Any = sent("s3", endpoint).headers["x-amz-content-sha256"]

    assert said == signed.encode()


def test_the_hash_that_s3_checks_is_what_is_signed(clients: Clients, phone: Phone) -> None:
    sent: list[AWSPreparedRequest] = []

    def note(request: AWSPreparedRequest, **_: object) -> None:
        sent.append(request)

    clients.s3.meta.events.register_first("before-send.s3.PutObject", note)
    phone.upload_directly(SOUND)
    clients.s3.meta.events.unregister("before-send.s3.PutObject", note)

    [authorization] = [str(request.headers["authorization"]) for request in sent]
    assert "x-amz-checksum-sha256" in authorization.partition("SignedHeaders=")[2].split(";")


# How long AWS is waited for.


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the app's clients are built with, whatever others want."""
    with pytest.MonkeyPatch.context() as patch:
        set_anothers(patch, tmp_path_factory.mktemp("aws"), "path")
        clients = Clients(custom_s3=False)
        return {name: getattr(clients, name).meta.config for name in EVERY_CLIENT}


@pytest.mark.parametrize("name", EVERY_CLIENT)
def test_a_call_has_ended_when_api_gateway_gives_up(configured: dict[str, Any], name: str) -> None:
    config = configured[name]

    tries = config.retries["total_max_attempts"]
    waited = tries * (config.connect_timeout + config.read_timeout)
    assert waited + (BACK_OFF_SECONDS if tries > 1 else 0) < API_GATEWAY_SECONDS


def test_a_call_is_tried_again_unless_it_is_a_copy_which_is_waited_for_the_longest(
    configured: dict[str, Any],
) -> None:
    tries = {"dynamodb": 3, "s3": 3, "s3_copying": 1, "secretsmanager": 2}
    seconds = {"dynamodb": 4, "s3": 6, "s3_copying": 20, "secretsmanager": 2}

    for name, config in configured.items():
        assert config.retries == {"mode": "standard", "total_max_attempts": tries[name]}
        assert config.read_timeout == seconds[name]


@pytest.mark.parametrize(
    ("left", "waited"), [(28, 20), (10, 6), (290, 200), (150, 20)], ids=lambda each: f"{each} s"
)
def test_a_copy_is_waited_for_as_long_as_there_is_time(left: float, waited: float) -> None:
    with deadline.within(left):
        config: Any = Clients(custom_s3=False).copier().meta.config

    assert config.read_timeout == waited


@pytest.mark.parametrize("name", S3_CLIENTS)
def test_what_others_want_of_s3_does_not_reach_the_apps_clients(
    configured: dict[str, Any], name: str
) -> None:
    config = configured[name]

    assert config.signature_version == "s3v4"
    assert config.request_checksum_calculation == "when_required"
    assert config.response_checksum_validation == "when_required"


# What Lambda's own boto3 has to know.


def test_a_boto3_that_cannot_copy_as_we_do_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s3" / "2006-03-01"
    folder.mkdir(parents=True)
    model = Loader().load_service_model("s3", "service-2")
    del model["shapes"]["CopyObjectRequest"]["members"]["IfNoneMatch"]
    (folder / "service-2.json").write_text(json.dumps(model))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))

    with pytest.raises(InternalError, match=r"^boto3 [\d.]+ knows no CopyObject with IfNoneMatch"):
        _ = Clients(custom_s3=False).copier()
