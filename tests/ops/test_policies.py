"""Each function may do on AWS what it does, and nothing else."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any

import pytest

from chalicelib import jobs, wiring
from chalicelib.aws.clients import Clients
from chalicelib.core.recordings import listening, slices
from chalicelib.models.entities import Grant, Heard, Identity
from chalicelib.providers import apple
from chalicelib.providers.http import Answer
from chalicelib.settings import Settings
from local.embedded.backend import SENDER
from ops.policies import GRANTS, policy, resolved
from tests.aws.test_cost import CASES, somebody
from tests.conftest import LAMBDA, Clock
from tests.support import ROOT, engines, use_cases
from tests.support.iam import ACCOUNT, PARTITION, REGION, Asked, Permission, operations, recording
from tests.support.listening import HEARD, SILENCE, listen_instantly
from tests.support.phone import Phone, send
from tests.support.use_cases import SOUND, USE_CASES, UseCase

pytestmark = pytest.mark.deep

# What nobody calls, and each function may do all the same.
LAMBDAS_OWN = {
    "logs:CreateLogStream": "Lambda writes the function's log",
    "logs:PutLogEvents": "Lambda writes the function's log",
    "xray:PutTelemetryRecords": "Lambda writes the function's traces",
    "xray:PutTraceSegments": "Lambda writes the function's traces",
    "sqs:SendMessage": "Lambda keeps the events that a job failed at",
}
# The only ones whose service knows no resource to name.
OF_NOTHING_FINER = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
SECRET = "recorder-dev-jwt-keys"
UPLOAD_KEY = "recorder-dev-upload-key"
KEYS = json.dumps({"keys": [], "first": "k" * 64})


def values(settings: Settings) -> dict[str, str]:
    """What a stack's outputs would be, of what the tests run against."""
    return {
        "TableArn": f"arn:{PARTITION}:dynamodb:{REGION}:{ACCOUNT}:table/{settings.table}",
        "UploadsBucketArn": f"arn:{PARTITION}:s3:::{settings.uploads_bucket}",
        "RecordingsBucketArn": f"arn:{PARTITION}:s3:::{settings.recordings_bucket}",
        "JwtSecret": SECRET,
        "UploadKeySecret": UPLOAD_KEY,
        "DeadLettersArn": f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:recorder-dev-dead-letters",
        "AWS::Partition": PARTITION,
        "AWS::Region": REGION,
        "AWS::AccountId": ACCOUNT,
    }


def allowed(function: str, settings: Settings) -> set[Permission]:
    """What a function's policy lets it do for itself."""
    document = resolved(policy(function, "dev", SENDER, upload_key=True), values(settings))
    return {
        Permission(action, statement["Resource"])
        for statement in document["Statement"]
        for action in statement["Action"]
        if action not in LAMBDAS_OWN
    }


# What is asked of AWS

Prepare = Callable[[Phone, Clock], Callable[[], object]]


def parts_and_a_whole(phone: Phone, _: Clock) -> str:
    """An upload that was begun again in parts, while a URL of the first one was still good.

    And somebody died as they began to send it.
    """
    begun = phone.announce(SOUND, upload_method="multipart").json
    send(begun["upload"], SOUND)
    id = str(begun["recording"]["id"])
    where: Any = {
        "Bucket": use_cases.the_settings().uploads_bucket,
        "Key": f"{phone.user_id}/{id}",
    }
    use_cases.s3().put_object(**where, Body=SOUND)
    use_cases.s3().create_multipart_upload(**where)
    return id


def sent_while_something_else_is_kept(phone: Phone, clock: Clock) -> str:
    id = use_cases.sent(phone, clock)
    bucket = use_cases.the_settings().recordings_bucket
    use_cases.s3().put_object(Bucket=bucket, Key=f"{phone.user_id}/{id}", Body=b"else")
    return id


def mails_waiting(phone: Phone, clock: Clock) -> Callable[[], object]:
    phone.post("/auth/password/forgot", {"email": phone.email})
    clock.advance(minutes=1)
    return lambda: jobs.deliver_mail({}, LAMBDA)


def apple_waiting(phone: Phone, clock: Clock) -> Callable[[], object]:
    """Somebody's code, that of somebody who is gone, and what is to be revoked."""
    store, accounts = wiring.services()._stores.grants, wiring.services()._stores.accounts
    account, now = accounts.find(phone.user_id), clock()
    assert account
    added = Identity(subject="ann", added_at=now)
    accounts.add_way(account, "apple", added, now, confirmed=False)
    for id, sub, given in (("1", "ann", "code"), ("2", "bob", "code"), ("3", "x", "refresh_token")):
        whose: Any = {"id": id, "user_id": phone.user_id, "subject": sub, given: f"{sub} {given}"}
        store.put(Grant(client_id="app", asked_at=now, due_at=now, **whose))

    def deliver() -> None:
        with pytest.MonkeyPatch.context() as patch:
            answer = Answer(200, Message(), b'{"refresh_token": "r"}')
            patch.setattr(apple, "ask", lambda *_: answer)
            jobs.deliver_mail({}, LAMBDA)

    return deliver


def of_use_case(case: UseCase) -> Prepare:
    def prepare(phone: Phone, clock: Clock) -> Callable[[], object]:
        id = case.prepare(phone, clock)
        return lambda: case.request(phone, id)

    return prepare


def those_that(request: Callable[[Phone, str], Any]) -> list[Prepare]:
    return [of_use_case(case) for case in USE_CASES.values() if case.request is request]


def event_after(prepare: Callable[[Phone, Clock], str]) -> Prepare:
    return of_use_case(UseCase(prepare, use_cases.notice, lambda *_: True))


def listening_to(*heard: Heard) -> Prepare:
    """Listening to a recording, and again by newer listeners that hear something else."""

    def prepare(phone: Phone, _: Clock) -> Callable[[], object]:
        id = phone.upload_directly(SOUND)

        def listen() -> None:
            with pytest.MonkeyPatch.context() as patch:
                for version, each in enumerate(heard, start=1):
                    patch.setattr(listening, "LISTENER", version)
                    listen_instantly(phone, id, each)

        return listen

    return prepare


BY_JOB: dict[str, list[Prepare]] = {
    "notice": [
        *those_that(use_cases.notice),
        *those_that(use_cases.notice_pieces),
        event_after(parts_and_a_whole),
        event_after(sent_while_something_else_is_kept),
    ],
    "listen": [*those_that(use_cases.listen), listening_to(HEARD, SILENCE)],
    "upkeep": those_that(use_cases.upkeep),
    "deliver_mail": [mails_waiting, apple_waiting],
}
BY_FUNCTION = BY_JOB | {
    "api_handler": [
        *(
            lambda phone, _, prepare=prepare: prepare(phone)
            for name, prepare in CASES.items()
            if not name.startswith("the job")
        ),
        *(
            of_use_case(case)
            for case in USE_CASES.values()
            if case.request
            not in {
                use_cases.listen,
                use_cases.notice,
                use_cases.notice_pieces,
                use_cases.upkeep,
            }
        ),
    ]
}


@pytest.fixture(scope="module")
def notes() -> dict[str, list[Asked]]:
    """What `asked` has found."""
    return {}


@pytest.fixture
def asked(
    notes: dict[str, list[Asked]],
    clients: Clients,
    clock: Clock,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, list[Asked]]:
    """All that each function asks of AWS, with its keys in Secrets Manager as there."""
    if notes:
        return notes
    # S3 copies pieces of five bytes, others pass through.
    monkeypatch.setattr(slices, "LEAST_PART", 5)
    engines.take_small_parts(monkeypatch)
    key = json.dumps({"access_key_id": "AKIAEXAMPLE", "secret_access_key": "its secret"})
    for name, value in ((SECRET, KEYS), (UPLOAD_KEY, key)):
        clients.secretsmanager.create_secret(Name=name, SecretString=value)
    secrets = {"jwt_secret_id": SECRET, "jwt_keys": None, "upload_key_secret_id": UPLOAD_KEY}
    for function, cases in BY_FUNCTION.items():
        notes[function] = []
        for prepare in cases:
            # They are all of one source, and more than may sign up in an hour.
            configure(**secrets, signups_per_source=0, apple_client_secrets="app=secret")
            ask = prepare(somebody(), clock)
            with recording(clients, notes[function]):
                ask()
    clients.secretsmanager.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    return notes


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_may_do_what_it_does_and_nothing_else(
    function: str, asked: dict[str, list[Asked]], settings: Settings
) -> None:
    needed = {each for call in asked[function] for each in call.permissions}

    assert allowed(function, settings) == needed


def test_every_call_in_the_code_was_made(asked: dict[str, list[Asked]], clients: Clients) -> None:
    made = {call.operation for calls in asked.values() for call in calls}

    assert set(in_the_code(clients)) <= made


def in_the_code(clients: Clients) -> Iterator[str]:
    """The operations that the app's modules for AWS name, wherever a function may get to them."""
    known = operations(clients)
    for file in (ROOT / "chalicelib" / "aws").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            name = getattr(node, "attr", getattr(node, "value", None))
            if isinstance(name, str) and name in known and name != "put_secret_value":
                yield known[name]


@pytest.mark.parametrize("function", GRANTS)
def test_no_action_is_a_pattern_and_no_resource_is_everything(
    function: str, settings: Settings
) -> None:
    for statement in resolved(policy(function, "dev", ""), values(settings))["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        assert statement["Resource"] != "*" or {*statement["Action"]} <= {*OF_NOTHING_FINER}
