"""Telemetry: what the log says of each request and job, and the metrics in it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from chalice.local import LambdaEventConverter, RouteMatcher

from app import app
from chalicelib import jobs, telemetry, wiring
from chalicelib.api.http import Route
from chalicelib.core.ids import uuid7
from tests.conftest import LAMBDA, Clock
from tests.support import ROOT
from tests.support.faults import Faults
from tests.support.listening import listen
from tests.support.phone import PASSWORD, Phone
from tests.support.routes import ROUTES, ask, named

SOUND = b"some sound"

Line = dict[str, Any]
Lines = Callable[[], list[Line]]


def arrival(phone: Phone, id: str) -> Any:
    """S3's event of a recording's bytes."""
    object = {"key": f"{phone.user_id}/{id}", "etag": hashlib.md5(SOUND).hexdigest()}  # noqa: S324
    return {
        "detail": {"bucket": {"name": wiring.services().settings.uploads_bucket}}
        | {"object": object}
    }


def metrics(line: Line) -> dict[str, tuple[float, str]]:
    """The metrics that CloudWatch makes of a line, each with its unit."""
    return {
        metric["Name"]: (line[metric["Name"]], metric["Unit"])
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in directive["Metrics"]
    }


def counted(lines: Lines) -> dict[str, float]:
    """The sums of all metrics that were logged since the last time."""
    sums: dict[str, float] = {}
    for line in lines():
        for name, (number, _) in metrics(line).items():
            sums[name] = sums.get(name, 0) + number
    return sums


# A request.


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_each_request_is_one_line_that_names_its_route(
    phone: Phone, lines: Lines, route: Route
) -> None:
    answer = ask(phone, route, password=PASSWORD)
    [line] = lines()

    assert (line["method"], line["route"]) == (route.method, route.path)
    assert (line["status"], line["level"]) == (answer.status, "INFO")
    assert isinstance(line["milliseconds"], float)


def test_a_line_says_whose_request_it_was_and_which_calls_it_made(
    phone: Phone, lines: Lines, faults: Faults
) -> None:
    calls = faults.record()
    phone.log_in()
    [line] = lines()

    assert (line["user"], line["stage"]) == (phone.user_id, "dev")
    assert line["aws"] == Counter(call.name for call in calls)
    assert line["aws"]["dynamodb.GetItem"] == 2
    phone.refresh()
    phone.get("/me")
    assert [line["user"] for line in lines()] == [phone.user_id] * 2


def test_a_line_has_the_ids_by_which_lambda_and_api_gateway_know_the_request(
    lines: Lines,
) -> None:
    converter = LambdaEventConverter(RouteMatcher(list(app.routes)), [])
    event = converter.create_lambda_event("GET", "/health", {})
    event["requestContext"]["requestId"] = "gateways-own"
    app(event, LAMBDA)
    [line] = lines()

    assert line["request_id"] == LAMBDA.aws_request_id
    assert line["gateway_request_id"] == "gateways-own"


def test_a_refusal_is_said_by_its_code_alone(phone: Phone, lines: Lines) -> None:
    answer = phone.get(f"/recordings/{uuid7()}")
    [line] = lines()

    assert (line["status"], line["code"]) == (404, "not_found")
    assert line["request_id"] == answer.json["request_id"]
    assert "error" not in line


def test_a_fault_is_one_line_with_its_whole_cause(
    phone: Phone, lines: Lines, faults: Faults
) -> None:
    faults.refuse("dynamodb", "BatchGetItem", "AccessDeniedException", 400)
    lines()
    answer = phone.get("/me")
    [line] = lines()

    assert (line["level"], line["status"], line["code"]) == ("ERROR", 500, "internal_error")
    assert line["request_id"] == answer.json["request_id"]
    assert "botocore.exceptions.ClientError" in line["error"]
    assert "InternalError: BatchGetItem was refused: AccessDeniedException" in line["error"]


def test_what_else_is_logged_says_of_which_request(
    phone: Phone, lines: Lines, faults: Faults
) -> None:
    id = phone.upload_directly(SOUND)
    faults.refuse("s3", "DeleteObjects")
    lines()
    phone.delete_for_good(id)
    warning, _, line = lines()

    assert warning["message"].startswith(f"{id} is deleted but goes on owing")
    assert warning["request_id"] == line["request_id"]


def test_a_line_for_people_is_short(phone: Phone, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "chalicelib")
    phone.get("/me", headers={"Authorization": "Bearer garbage"})
    phone.get("/recordings")

    refused, listed = [record.getMessage() for record in caplog.records[-2:]]
    assert re.fullmatch(r"GET /me 401 not_authenticated: \d+ ms", refused)
    assert re.fullmatch(
        r"GET /recordings 200: \d+ ms, 1 dynamodb.BatchGetItem, 1 dynamodb.Query", listed
    )


def test_what_another_thread_does_is_not_of_this_request(lines: Lines) -> None:
    with telemetry.work("this", "dev"):
        other = threading.Thread(target=telemetry.count, kwargs={"uploads_begun": 1})
        other.start()
        other.join()

    assert counted(lines) == {}


def test_what_is_not_of_a_request_is_neither_counted_nor_said_of_it(
    phone: Phone, lines: Lines
) -> None:
    with telemetry.work("this", "dev", request_id="its own"):
        pass
    lines()
    telemetry.count(uploads_begun=1)
    wiring.services().sessions.authenticate(phone.token)
    telemetry.log.warning("afterwards")

    [line] = lines()
    assert line["message"] == "afterwards"
    assert not line.get("request_id")


# A job.

JOBS: dict[str, Callable[[Phone], object]] = {
    "notice": lambda phone: jobs.notice(arrival(phone, phone.deliver(SOUND)), LAMBDA),
    "listen": lambda phone: listen(phone, phone.upload_directly(SOUND)),
    "upkeep": lambda _: jobs.upkeep({}, LAMBDA),
    "deliver_mail": lambda _: jobs.deliver_mail({}, LAMBDA),
}


@pytest.mark.parametrize("name", JOBS)
def test_each_run_of_a_job_is_one_line_and_one_that_fails_says_why(
    phone: Phone, lines: Lines, faults: Faults, name: str
) -> None:
    JOBS[name](phone)
    *_, line = lines()

    assert (line["job"], line["level"]) == (name, "INFO")
    assert line["request_id"] == LAMBDA.aws_request_id
    assert line["aws"]

    faults.meanwhile("dynamodb", "GetItem", lambda: 1 / 0)
    faults.meanwhile("dynamodb", "Query", lambda: 1 / 0)
    faults.meanwhile("s3", "HeadObject", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        JOBS[name](phone)
    *_, line = lines()
    assert (line["job"], line["level"]) == (name, "ERROR")
    assert "ZeroDivisionError" in line["error"]


def test_every_job_that_is_deployed_is_logged() -> None:
    assert {source.name for source in app.event_sources} == set(JOBS)


# The metrics.


def test_what_was_listened_to_is_counted_and_what_was_not_readable(
    phone: Phone, lines: Lines
) -> None:
    id = phone.upload_directly(SOUND)
    lines()
    for _ in range(2):
        listen(phone, id)

    assert counted(lines) == {"listened_to": 1, "listened_to_unreadable": 1}


def test_a_line_with_metrics_is_as_cloudwatch_wants_it(phone: Phone, lines: Lines) -> None:
    phone.upload_directly(SOUND)
    [line] = lines()
    [directive] = line["_aws"]["CloudWatchMetrics"]

    assert abs(line["_aws"]["Timestamp"] / 1000 - wiring.now().timestamp()) < 60
    assert (directive["Namespace"], directive["Dimensions"]) == ("Recorder", [["stage"]])
    assert line["stage"] == "dev"
    assert metrics(line) == {
        "uploads_begun": (1, "Count"),
        "uploads_completed": (1, "Count"),
        "bytes_completed": (len(SOUND), "Bytes"),
    }
    phone.get("/me")
    assert "_aws" not in lines()[0]


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_an_upload_is_counted_as_it_begins_and_as_it_becomes_ready_once(
    phone: Phone, lines: Lines, method: str
) -> None:
    announced = {"id": uuid7(), "upload_method": method}
    id = phone.deliver(SOUND, **announced)
    phone.announce(SOUND, **announced)

    assert counted(lines) == {"uploads_begun": 1}
    event = arrival(phone, id)
    phone.complete(id)
    phone.complete(id)
    jobs.notice(event, LAMBDA)
    assert counted(lines) == {"uploads_completed": 1, "bytes_completed": len(SOUND)}


def test_the_same_bytes_again_are_not_counted_again(phone: Phone, lines: Lines) -> None:
    id = phone.upload_directly(SOUND)
    lines()
    assert phone.put_audio(id, SOUND).status == 200

    assert counted(lines) == {}


def test_an_upload_that_its_event_completes_is_counted(phone: Phone, lines: Lines) -> None:
    event = arrival(phone, phone.deliver(SOUND))
    lines()
    jobs.notice(event, LAMBDA)

    assert counted(lines) == {"uploads_completed": 1, "bytes_completed": len(SOUND)}


def test_each_of_a_batch_and_each_log_in_that_fails_is_counted(
    phone: Phone, nobody: Phone, lines: Lines
) -> None:
    announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 1}
    phone.post("/recordings/batch", {"recordings": [announced] * 3})
    assert counted(lines) == {"uploads_begun": 3}

    phone.log_in(password="a wrong one, surely")
    nobody.log_in()
    phone.log_in()
    assert counted(lines) == {"log_ins_failed": 2}


def test_a_session_that_ends_since_its_token_was_used_again_is_counted(
    phone: Phone, clock: Clock, lines: Lines
) -> None:
    stolen = {"refresh_token": phone.tokens["refresh_token"]}
    new = phone.refresh().json
    clock.advance(minutes=2)
    phone.get("/me", headers={"Authorization": f"Bearer {new['access_token']}"})
    assert counted(lines) == {}
    phone.post("/auth/refresh", stolen)

    assert counted(lines) == {"refresh_token_reused": 1}


def test_upkeep_counts_what_it_did(phone: Phone, clock: Clock, lines: Lines) -> None:
    phone.deliver(SOUND)
    phone.announce(SOUND)
    clock.advance(days=7, seconds=100)
    lines()
    numbers = jobs.upkeep({}, LAMBDA)
    [line] = lines()

    found = metrics(line)
    seconds, unit = found.pop("upkeep_overdue_seconds")
    assert (seconds >= 99, unit) == (True, "Seconds")
    upkeeps = {f"upkeep_{name}": (n, "Count") for name, n in numbers.items()}
    upkeeps.pop("upkeep_overdue_seconds")
    assert found == upkeeps | {
        "uploads_expired": (1, "Count"),
        "uploads_completed": (1, "Count"),
        "bytes_completed": (len(SOUND), "Bytes"),
    }
    assert found["upkeep_completed"] == found["upkeep_expired"] == (1, "Count")


def test_upkeep_that_finds_nothing_says_so_in_numbers(lines: Lines) -> None:
    numbers = jobs.upkeep({}, LAMBDA)
    [line] = lines()

    assert {name: value for name, (value, _) in metrics(line).items()} == {
        f"upkeep_{name}": 0 for name in numbers
    }
    assert line["upkeep_overdue_seconds"] == 0


# On Lambda.

# What Lambda has done to the root logger by the time that a function is imported.
ON_LAMBDA = """
import logging, sys

handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("[%(levelname)s] doubled %(message)s"))
logging.getLogger().addHandler(handler)
from types import SimpleNamespace
context = SimpleNamespace(
    aws_request_id="lambdas-own", get_remaining_time_in_millis=lambda: 30_000)
"""
OF_A_REQUEST = """
from app import app
from chalice.local import LambdaEventConverter, RouteMatcher
event = LambdaEventConverter(RouteMatcher(list(app.routes)), []).create_lambda_event(
    "GET", "/health", {})
app(event, context)
app.log.error("Chalice's own")
logging.getLogger("botocore.credentials").info("nothing to anybody")
logging.getLogger("botocore").warning("a warning")
"""
OF_A_JOB = """
from chalicelib import jobs
try:
    jobs.notice({"detail": {}}, context)
except KeyError:
    pass
"""


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Line]]:
    """Runs a function as Lambda does, in a process of its own; what it writes."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "recorder-prod-api_handler")
    monkeypatch.setenv("RECORDER_STAGE", "prod")

    def run(code: str) -> list[Line]:
        ended = subprocess.run(
            [sys.executable, "-c", ON_LAMBDA + code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stderr == ""
        return [json.loads(line) for line in ended.stdout.splitlines()]

    return run


def test_on_lambda_all_is_written_once_as_json(
    on_lambda: Callable[[str], list[Line]],
) -> None:
    request, chalices, warning = on_lambda(OF_A_REQUEST)

    assert (request["route"], request["status"], request["stage"]) == ("/health", 200, "prod")
    assert (chalices["logger"], chalices["message"]) == ("recorder", "Chalice's own")
    assert warning["message"] == "a warning"


def test_on_lambda_a_job_is_logged_without_the_app(
    on_lambda: Callable[[str], list[Line]],
) -> None:
    [line] = on_lambda(OF_A_JOB)

    assert (line["job"], line["request_id"]) == ("notice", "lambdas-own")
    assert "KeyError: 'object'" in line["error"]


def test_a_line_stands_on_one_line_whatever_is_in_it() -> None:
    record = telemetry.log.makeRecord(
        "x", 20, "f", 1, "two\nlines, a \ud800 and a %s", ("\u2028",), None
    )
    line = telemetry.JsonLine().format(record)

    assert line.isascii()
    assert len(line.splitlines()) == 1
