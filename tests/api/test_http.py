"""What every answer has in common: problems, request ids, logs, and what a fault becomes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import Chalice, CORSConfig
from chalice.local import LambdaEventConverter, RouteMatcher

from app import app
from chalicelib.api.http import Blueprint, Reply
from chalicelib.api.problems import refusals_of_our_own
from chalicelib.core.ids import uuid7
from chalicelib.errors import NotFound, RecorderError, catalogue
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone

REQUEST_ID = "6b7931c2-5e6d-41d0-a831-a7119d0acabf"


def refused_by_s3(phone: Phone, faults: Faults) -> Answer:
    faults.refuse("s3", "PutObject", "AccessDenied", 403)
    return phone.put_audio(uuid7(), b"some sound")


def table_is_down(phone: Phone, faults: Faults) -> Answer:
    faults.refuse("dynamodb", "BatchGetItem")
    return phone.get("/me")


# One of every kind of answer, by its status.
ANSWERS: dict[str, Callable[[Phone, Faults], Answer]] = {
    "200": lambda phone, _: phone.get("/me"),
    "200 page": lambda phone, _: phone.get("/docs"),
    "200 open": lambda phone, _: phone.get("/health"),
    "201": lambda phone, _: phone.announce(b"some sound"),
    "204": lambda phone, _: phone.post("/auth/logout", {"refresh_token": "garbage"}),
    "400": lambda phone, _: phone.post("/recordings", b"{nope"),
    "401": lambda phone, _: phone.get("/me", headers={"Authorization": "Bearer garbage"}),
    "404": lambda phone, _: phone.get(f"/recordings/{uuid7()}"),
    "405": lambda phone, _: phone.call("PUT", "/me"),
    "409": lambda phone, _: phone.post(
        "/auth/signup", {"email": phone.email, "password": "correct horse"}
    ),
    "413": lambda phone, _: phone.post(
        "/recordings", {"file_name": "a", "content_type": "audio/mp4", "size": 10**30}
    ),
    "415": lambda phone, _: phone.put_audio(uuid7(), b"x", content_type="text/plain"),
    "500": refused_by_s3,
    "503": table_is_down,
}
PROBLEMS = {name: answer for name, answer in ANSWERS.items() if name >= "400"}
Ask = Callable[[Phone, Faults], Answer]


def invoke(
    app: Chalice, method: str, path: str, body: bytes = b"", **headers: str
) -> dict[str, Any]:
    """Call the app as Lambda does, with a request id that is known; the answer as API Gateway's."""
    converter = LambdaEventConverter(RouteMatcher(list(app.routes)), app.api.binary_types)
    event = converter.create_lambda_event(method, path, headers, body)
    return app(event, SimpleNamespace(aws_request_id=REQUEST_ID))


# Bodies


@pytest.mark.parametrize(("status", "answer"), PROBLEMS.items(), ids=PROBLEMS)
def test_a_refusal_is_a_problem(phone: Phone, faults: Faults, status: str, answer: Ask) -> None:
    answered = answer(phone, faults)
    problem = answered.json

    assert answered.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    assert set(problem) - {"errors"} <= {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == answered.status == int(status)
    assert problem["code"] in {error.code for error in catalogue()}
    assert all(problem[text] for text in ("type", "title", "detail"))


@pytest.mark.parametrize(("method", "path"), [("GET", "/me"), ("PUT", "/me")])
def test_a_problem_names_the_request_that_met_it(method: str, path: str) -> None:
    assert json.loads(invoke(app, method, path)["body"])["request_id"] == REQUEST_ID


def test_an_answer_without_content_is_empty(phone: Phone) -> None:
    body = json.dumps({"refresh_token": phone.tokens["refresh_token"]}).encode()

    answer = invoke(app, "POST", "/auth/logout", body)

    assert (answer["statusCode"], answer["body"]) == (204, "")


def test_an_answer_to_head_has_no_body() -> None:
    """What follows it would be taken for the next answer on the same connection."""
    answer = invoke(app, "HEAD", "/me")

    assert (answer["statusCode"], answer["body"]) == (405, "")
    assert set(answer["headers"]["Allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


def test_a_method_that_a_path_has_not_is_a_problem(phone: Phone) -> None:
    for method in ("PUT", "POST", "TRACE", "BREW"):
        answer = phone.call(method, "/me")
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == {"GET", "PATCH", "DELETE"}


def _leaves(error: type[RecorderError]) -> list[type[RecorderError]]:
    below = [leaf for each in error.__subclasses__() for leaf in _leaves(each)]
    return below or [error]


def test_every_error_is_in_the_catalogue_by_a_code_of_its_own() -> None:
    codes = [error.code for error in catalogue()]

    assert set(_leaves(RecorderError)) <= set(catalogue())
    assert len(codes) == len(set(codes))


# Faults below us


BUSY = {
    "ThrottlingException": 400,
    "ProvisionedThroughputExceededException": 400,
    "RequestLimitExceeded": 400,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}


@pytest.mark.parametrize("code", [*BUSY, None])
def test_a_table_that_is_busy_or_out_of_reach_is_unavailable(
    phone: Phone, faults: Faults, code: str | None
) -> None:
    if code:
        faults.refuse("dynamodb", "BatchGetItem", code, BUSY[code])
    else:
        faults.lose_the_answer("dynamodb", "BatchGetItem")

    answer = phone.get("/me")

    assert (answer.status, answer.code) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


def test_a_bucket_that_is_busy_is_unavailable(phone: Phone, faults: Faults) -> None:
    faults.refuse("s3", "PutObject", "SlowDown", 503)

    assert phone.put_audio(uuid7(), b"some sound").code == "unavailable"


def test_what_was_unavailable_is_there_again(phone: Phone, faults: Faults) -> None:
    faults.refuse("dynamodb", "BatchGetItem", times=1)
    assert phone.get("/me").status == 503

    assert phone.get("/me").status == 200


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
)
def test_a_table_that_refuses_for_good_is_a_fault_of_ours(
    phone: Phone, faults: Faults, code: str
) -> None:
    faults.refuse("dynamodb", "BatchGetItem", code, 400)

    answer = phone.get("/me")

    assert (answer.status, answer.code) == (500, "internal_error")
    assert "retry-after" not in answer.headers
    assert code not in answer.text
    assert "BatchGetItem" not in answer.text


def test_a_fault_is_logged_once_with_its_cause_and_its_request_id(
    phone: Phone, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    faults.refuse("dynamodb", "BatchGetItem", "AccessDeniedException", 400)

    answer = phone.get("/me")

    (record,) = caplog.records
    assert answer.json["request_id"] in record.getMessage()
    assert "BatchGetItem was refused: AccessDeniedException" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("status", [name for name in ANSWERS if name < "500"])
def test_an_ordinary_answer_is_no_error_in_the_log(
    phone: Phone, faults: Faults, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    caplog.set_level(logging.WARNING, "chalicelib")

    ANSWERS[status](phone, faults)

    assert caplog.records == []


# Faults of ours


def tiny(answer: Callable[[], object], *statuses: int, raises: Any = ()) -> Chalice:
    """An app of one open route, GET /, which answers what `answer` does."""
    blueprint = Blueprint(__name__, tag="Tiny")

    @blueprint.endpoint("GET", "/", dict[str, int], *statuses, auth=False, raises=raises)
    def view() -> object:
        """Whatever the test wants."""
        return answer()

    tiny = Chalice("tiny", env={})
    tiny.api.cors = CORSConfig()
    tiny.register_middleware(refusals_of_our_own(tiny.api.cors), "http")
    tiny.register_blueprint(blueprint)
    return tiny


def crash() -> object:
    raise ZeroDivisionError("my secret")


def test_an_unforeseen_error_is_answered_without_detail_and_logged_once_with_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = invoke(tiny(crash), "GET", "/")

    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["code"]) == (500, "internal_error")
    assert "secret" not in answer["body"]
    assert "ZeroDivision" not in answer["body"]
    assert answer["headers"]["Access-Control-Allow-Origin"] == "*"
    (record,) = caplog.records
    assert REQUEST_ID in record.getMessage()
    assert "ZeroDivisionError: my secret" in caplog.text


def test_an_error_that_the_route_raises_keeps_its_detail() -> None:
    def missing() -> object:
        raise NotFound("There is no such thing")

    answer = invoke(tiny(missing, raises=(NotFound,)), "GET", "/")

    assert json.loads(answer["body"])["detail"] == "There is no such thing"


@pytest.mark.parametrize("declared", [(), (201,)], ids=str)
def test_a_status_that_is_not_declared_is_a_fault(
    declared: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    answer = invoke(tiny(lambda: Reply({"a": 1}, 202), *declared), "GET", "/")

    assert answer["statusCode"] == 500
    assert "202" in caplog.text


def test_a_status_that_is_declared_is_answered_and_the_first_goes_without_saying() -> None:
    said = invoke(tiny(lambda: Reply({"a": 1}, 202), 200, 202), "GET", "/")

    assert (said["statusCode"], json.loads(said["body"])) == (202, {"a": 1})
    assert invoke(tiny(lambda: {"a": 1}, 201, 200), "GET", "/")["statusCode"] == 201
