"""Deadlines: whatever AWS does, a request is answered while API Gateway still waits.

Time is played here: a try that hangs takes as long as botocore would have waited for it, and each
back-off the longest that there is.
"""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from urllib3 import HTTPResponse

from chalicelib import deadline, jobs, wiring
from chalicelib.api import http
from chalicelib.api.http import Route
from chalicelib.aws import clients as clients_module
from chalicelib.aws.clients import LONGEST_BACK_OFF, Clients
from chalicelib.core.ids import uuid7
from chalicelib.errors import Unavailable
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.aws.test_cost import CASES, Ask, somebody
from tests.conftest import DEEP, Clock
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone
from tests.support.routes import ROUTES, named
from tests.support.use_cases import USE_CASES

API_GATEWAY_SECONDS = 29
SOUND = b"some sound"
ANNOUNCED = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SOUND)}
CALLING = [route for route in ROUTES if route.auth or (route.body and not route.body_form)]
# A read, a write, what asks S3 much, and what loops; all of them where there is time.
KINDS = ["GET /me", "POST /recordings", "POST /recordings/{id}/complete", "POST /me/export"]
SOME = CALLING if DEEP else [route for route in CALLING if named(route) in KINDS]


class Aws:
    """AWS as it behaves from some call on, and the time that passes meanwhile."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls: list[str] = []
        self.behave: Callable[[str, float], AWSResponse | None] = lambda *_: None

    def answer(self, longest: float, event_name: str, **_: Any) -> AWSResponse | None:
        """Answer a try, or let it through; it may take so long."""
        self.calls.append(event_name.removeprefix("before-send."))
        return self.behave(self.calls[-1], longest)

    def forget(self) -> None:
        self.seconds, self.calls = 0.0, []

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def hang(self, _: str, longest: float) -> AWSResponse | None:
        self.wait(longest)
        raise ReadTimeoutError(endpoint_url="http://hangs")

    def be_slow(self, _: str, longest: float) -> AWSResponse | None:
        self.wait(longest)
        return None

    def from_the(self, number: int, behave: Callable[[str, float], AWSResponse | None]) -> None:
        """Behave so from this call on, counted from 0."""
        self.forget()
        self.behave = lambda call, longest: (
            behave(call, longest) if len(self.calls) > number else None
        )


def throttle(call: str, _: float) -> AWSResponse:
    """What DynamoDB and S3 say when it is too much for them."""
    if call.startswith("s3"):
        return response(503, b"<Error><Code>SlowDown</Code></Error>")
    code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    return response(400, json.dumps({"__type": code}).encode())


def response(status: int, body: bytes) -> AWSResponse:
    raw = HTTPResponse(io.BytesIO(body), preload_content=False)
    return AWSResponse("", status, HTTPHeaders(), raw)


@pytest.fixture
def aws(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Decides what the app's clients are answered; moto does, unless it is told otherwise."""
    aws = Aws()
    monkeypatch.setattr(deadline, "monotonic", lambda: aws.seconds)
    backing_off = SimpleNamespace(sleep=lambda _: aws.wait(LONGEST_BACK_OFF))
    monkeypatch.setattr("botocore.endpoint.time", backing_off)
    monkeypatch.setattr("chalicelib.aws.dynamodb.table.time", SimpleNamespace(sleep=aws.wait))
    registered = []
    for client in (clients.dynamodb, clients.s3, clients.s3_copying):
        config: Any = client.meta.config
        answer: Any = partial(aws.answer, config.connect_timeout + config.read_timeout)
        client.meta.events.register("before-send", answer)
        registered.append((client.meta.events, answer))
    yield aws
    for events, answer in registered:
        events.unregister("before-send", answer)


def resuming_in_parts(phone: Phone) -> Ask:
    id = phone.announce(SOUND, upload_method="multipart").json["recording"]["id"]
    return lambda: phone.resume(id)


def completing_in_parts(phone: Phone) -> Ask:
    id = phone.deliver(SOUND, upload_method="multipart")
    return lambda: phone.complete(id)


def rolling_back_in_parts(phone: Phone) -> Ask:
    id = phone.announce(SOUND, upload_method="multipart").json["recording"]["id"]
    return lambda: phone.trash(id)


# What makes a route call most.
BUSIEST = {
    "GET /recordings/{id}/upload": resuming_in_parts,
    "POST /recordings/{id}/complete": completing_in_parts,
    "DELETE /recordings/{id}": rolling_back_in_parts,
}


def prepared(route: Route) -> Callable[[], Answer]:
    """A good request to the route, of a user of its own."""
    ask: Any = (CASES | BUSIEST)[named(route)](somebody())
    return ask  # type: ignore[no-any-return]


def tries_of(aws: Aws, route: Route) -> int:
    """How many tries a request to the route makes when all goes well."""
    request = prepared(route)
    aws.forget()
    assert request().status < 500
    assert aws.calls
    return len(aws.calls)


def check_answered_in_time(aws: Aws, answer: Answer) -> None:
    assert aws.seconds < API_GATEWAY_SECONDS, aws.calls
    if answer.status >= 500:
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("route", CALLING, ids=named)
def test_a_request_is_answered_in_time_whichever_call_hangs(aws: Aws, route: Route) -> None:
    for number in range(0, tries_of(aws, route), 1 if DEEP else 3):
        aws.behave = lambda *_: None
        request = prepared(route)
        aws.from_the(number, aws.hang)

        check_answered_in_time(aws, request())


@pytest.mark.parametrize("route", SOME, ids=named)
def test_a_request_is_answered_in_time_however_slow_all_is(aws: Aws, route: Route) -> None:
    request = prepared(route)
    aws.from_the(0, aws.be_slow)

    check_answered_in_time(aws, request())


@pytest.mark.parametrize("route", SOME, ids=named)
def test_a_request_that_is_throttled_is_to_be_sent_again(aws: Aws, route: Route) -> None:
    request = prepared(route)
    aws.from_the(0, throttle)
    answer = request()

    check_answered_in_time(aws, answer)
    assert answer.status == 503


def test_a_call_that_is_answered_the_second_time_is_no_error(aws: Aws, phone: Phone) -> None:
    aws.from_the(0, lambda *hanging: aws.hang(*hanging) if len(aws.calls) == 1 else None)

    assert phone.get("/me").status == 200
    assert aws.seconds > 0


def test_a_call_is_not_begun_when_it_might_end_too_late(
    aws: Aws, phone: Phone, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    aws.from_the(0, lambda *_: aws.wait(http.SECONDS - 1))
    assert phone.get("/recordings").status == 503
    *_, line = lines()

    assert aws.calls == ["dynamodb.BatchGetItem"]
    assert "OutOfTime: dynamodb.Query may take 6 s, and there are 1.0 s left" in line["error"]


def test_what_need_not_end_waits_for_every_try(aws: Aws, services: Services) -> None:
    aws.from_the(0, aws.hang)
    with pytest.raises(Unavailable):
        services._stores.recordings.find(uuid7(), uuid7())

    assert len(aws.calls) == 3


def test_a_deadline_ends_with_what_it_was_for() -> None:
    with deadline.within(5):
        assert 0 < deadline.seconds_left() <= 5

    assert deadline.seconds_left() == float("inf")


# A copy, which may take the longest.


def taking(aws: Aws, seconds: dict[str, float]) -> Callable[[str, float], None]:
    """Have these calls take so long, and succeed."""
    return lambda call, _: aws.wait(seconds.get(call, 0))


def test_a_copy_may_take_nearly_all_the_time_there_is(aws: Aws, phone: Phone) -> None:
    id = phone.deliver(SOUND)
    aws.from_the(0, taking(aws, {"s3.CopyObject": 19}))

    assert phone.complete(id).json["status"] == "ready"


@pytest.mark.parametrize("slow", ["dynamodb.BatchGetItem", "s3.CompleteMultipartUpload"])
def test_a_copy_that_cannot_be_waited_for_long_is_made_all_the_same(
    aws: Aws, phone: Phone, slow: str
) -> None:
    id = phone.deliver(SOUND, upload_method="multipart")
    aws.from_the(0, taking(aws, {slow: 10}))

    assert phone.complete(id).json["status"] == "ready"


@pytest.mark.parametrize("slow", ["dynamodb.BatchGetItem", "s3.CompleteMultipartUpload"])
def test_a_copy_for_which_there_is_no_time_is_made_when_complete_is_called_again(
    aws: Aws, phone: Phone, slow: str
) -> None:
    id = phone.deliver(SOUND, upload_method="multipart")
    aws.from_the(0, taking(aws, {slow: 19}))
    assert phone.complete(id).status == 503
    aws.from_the(0, taking(aws, {"s3.CopyObject": 19}))

    assert phone.complete(id).json["status"] == "ready"
    assert phone.download(id).content == SOUND


# What goes round and round.


def test_a_transaction_that_always_meets_another_is_given_up_in_time(
    aws: Aws, phone: Phone
) -> None:
    conflict = {"__type": "x#TransactionCanceledException"}
    conflict |= {"CancellationReasons": [{"Code": "TransactionConflict"}], "Message": "x"}  # type: ignore[dict-item]

    def meet_another(call: str, _: float) -> AWSResponse | None:
        aws.wait(4)
        if call != "dynamodb.TransactWriteItems":
            return None
        return response(400, json.dumps(conflict).encode())

    aws.from_the(0, meet_another)

    check_answered_in_time(aws, phone.announce(SOUND))
    assert aws.calls.count("dynamodb.TransactWriteItems") > 2


def test_an_export_of_very_much_is_given_up_in_time(aws: Aws, phone: Phone, faults: Faults) -> None:
    phone.post("/recordings/batch", {"recordings": [ANNOUNCED] * 25})
    faults.ask("dynamodb", "Query", Limit=1)
    aws.from_the(0, lambda *_: aws.wait(2))
    answer = phone.export()

    check_answered_in_time(aws, answer)
    assert answer.status == 503


# Jobs, which end before Lambda ends them.


@pytest.mark.parametrize("name", [name for name in USE_CASES if "upkeep" in name])
def test_upkeep_ends_in_time_whichever_call_hangs(aws: Aws, clock: Clock, name: str) -> None:
    for number in range(0, 16, 3 if DEEP else 6):
        aws.behave = lambda *_: None
        USE_CASES[name].prepare(Phone().sign_up(), clock)
        aws.from_the(number, aws.hang)
        context: Any = SimpleNamespace(
            aws_request_id="", get_remaining_time_in_millis=lambda: (120 - aws.seconds) * 1000
        )
        with suppress(Unavailable):
            jobs.upkeep({}, context)

        assert aws.seconds < 120


# Real sockets.


@pytest.fixture
def hurried(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone whose requests are given a tenth of a second where there were some."""
    monkeypatch.setattr(http, "SECONDS", 0.7)
    for name in ("CONNECT_SECONDS", "READ_SECONDS", "TABLE_READ_SECONDS", "COPY_READ_SECONDS"):
        monkeypatch.setattr(clients_module, name, 0.1)
    monkeypatch.setattr(clients_module, "LONGEST_BACK_OFF", 0)
    return phone


@pytest.fixture
def pointed_at(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[[socket.socket], None]:
    """Has the app call another server than moto's."""

    def point(listener: socket.socket) -> None:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB"):
            monkeypatch.setenv(name, url)
        clients = Clients(custom_s3=True)
        # It takes longer to build than there is time.
        assert clients.dynamodb
        monkeypatch.setattr(wiring, "_services", Services(settings, clients=clients))

    return point


@contextmanager
def serving(answer: bytes | None) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A server that accepts whatever comes, and has one answer for it, or none ever."""
    accepted: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                accepted.append(connection)
                if answer:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener, accepted
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in accepted:
        connection.close()


THROTTLED = json.dumps({"__type": "x#ThrottlingException", "message": "Slower"}).encode()
THROTTLING = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(THROTTLED)
) + THROTTLED


@pytest.mark.parametrize("answer", [None, THROTTLING], ids=["never", "always the same"])
def test_a_server_that_does_not_help_is_unavailable(
    hurried: Phone, pointed_at: Callable[[socket.socket], None], answer: bytes | None
) -> None:
    with serving(answer) as (listener, accepted):
        pointed_at(listener)
        answered = hurried.get("/me")

    assert (answered.status, answered.code) == (503, "unavailable")
    assert int(answered.headers["retry-after"]) > 0
    assert 1 <= len(accepted) <= 3
