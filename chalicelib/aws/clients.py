"""How AWS is called: one botocore configuration, and its errors turned into ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

import boto3
import msgspec
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import __version__, deadline, telemetry
from chalicelib.errors import InternalError, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_sesv2.client import SESV2Client

# What a try may take. No try begins that might not end before the deadline: see _in_time.
CONNECT_SECONDS = 2
READ_SECONDS = 6
TRIES = 3
# DynamoDB answers in some milliseconds. The less time a try might take, the later one may begin:
# after a copy of 19 s there is time left to note that the recording is ready.
TABLE_READ_SECONDS = 4
# S3 may take its time over a copy, and goes on with it when we no longer wait. So one try, as long
# as can be: another would only run beside it, while a repeated call finds what it made.
COPY_READ_SECONDS = 20
COPY_TRIES = 1
# A job can wait until even 5 GB are copied, which S3 does at some 50 MB a second or more.
LONG_COPY_READ_SECONDS = 200
# A secret is read in some milliseconds, and before anything else is done for a request.
SECRET_READ_SECONDS = 2
SECRET_TRIES = 2
# What botocore waits at most before the last of three tries, 2 s, and what it adds if a service
# asks for more (botocore/retries/standard.py, ExponentialBackoff).
LONGEST_BACK_OFF = 2 + 5

# Besides every 5xx: what DynamoDB and S3 answer, and why DynamoDB cancels a transaction, when the
# same request may succeed later.
BUSY = {
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "ThrottlingError",
    "ThrottlingException",
    "TransactionConflict",
}


# The calls whose answers have items in them.
OF_ITEMS = {"BatchGetItem", "GetItem", "Query", "UpdateItem"}

Client = TypeVar("Client", bound=BaseClient)


class OutOfTime(BotoCoreError):
    """A call was not made, since it might not have ended before the deadline."""

    fmt = "{call} may take {longest} s, and there are {left:.1f} s left"


class Clients:
    """The low-level clients, each built when it is first used.

    boto3's default session is not safe to share between threads while it builds clients, so
    this has one of its own and a lock. The clients themselves are safe to share.
    """

    def __init__(self, *, custom_s3: bool) -> None:
        """`custom_s3`: S3 is not AWS's own, so buckets are paths rather than host names."""
        self._lock = threading.Lock()
        self._s3_options: Any = {"addressing_style": "path"}
        if not custom_s3:
            # What is sent goes over TLS, and what is kept has a SHA-256 that is signed with it. To
            # sign its body too would be to hash it once more.
            self._s3_options = {"addressing_style": "virtual", "payload_signing_enabled": False}

    @cached_property
    def session(self) -> boto3.session.Session:
        """Where credentials and region come from, and the events of every client's calls."""
        session = boto3.session.Session()
        session.events.register_first("before-call", _note_call)
        return session

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """The DynamoDB client."""
        with self._lock:
            # What is sent was made from our own types: to validate it again takes half of a large
            # transaction's time.
            config = Config(parameter_validation=False).merge(_patience(TABLE_READ_SECONDS, TRIES))
            client = _in_time(self.session.client("dynamodb", config=config))
            _read_items(client.meta.events)
            return client

    @cached_property
    def ses(self) -> SESV2Client:
        """The SES client."""
        with self._lock:
            patience = _patience(READ_SECONDS, TRIES)
            return _in_time(self.session.client("sesv2", config=patience))

    @cached_property
    def events(self) -> EventBridgeClient:
        """The EventBridge client."""
        with self._lock:
            patience = _patience(READ_SECONDS, TRIES)
            return _in_time(self.session.client("events", config=patience))

    @cached_property
    def s3(self) -> S3Client:
        """The S3 client. Building it takes longest of all: see aws/s3/signing.py."""
        return self._s3(_patience(READ_SECONDS, TRIES))

    @cached_property
    def s3_copying(self) -> S3Client:
        """The S3 client for copies that have time."""
        return self._s3(_patience(COPY_READ_SECONDS, COPY_TRIES))

    @cached_property
    def s3_copying_long(self) -> S3Client:
        """The S3 client for copies that have the time that the largest takes."""
        return self._s3(_patience(LONG_COPY_READ_SECONDS, COPY_TRIES))

    def copier(self) -> S3Client:
        """The S3 client to copy with now: what came before may have taken that time.

        InternalError when this boto3 cannot make our copies.
        """
        left = deadline.seconds_left() - CONNECT_SECONDS
        client = self.s3
        if left >= LONG_COPY_READ_SECONDS:
            client = self.s3_copying_long
        elif left >= COPY_READ_SECONDS:
            client = self.s3_copying
        copying = client.meta.service_model.operation_model("CopyObject").input_shape
        # boto3 is Lambda's own (docs/decisions/07-dependencies-in-lambda.md), which may be old.
        if copying is None or "IfNoneMatch" not in copying.members:
            raise InternalError(f"boto3 {boto3.__version__} knows no CopyObject with IfNoneMatch")
        return client

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """The Secrets Manager client."""
        config = _patience(SECRET_READ_SECONDS, SECRET_TRIES)
        with self._lock:
            return _in_time(self.session.client("secretsmanager", config=config))

    def _s3(self, patience: Config) -> S3Client:
        config = Config(
            signature_version="s3v4",
            s3=self._s3_options,
            # We name the checksum where we want one; other S3s do not know the default one.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._lock:
            return _in_time(self.session.client("s3", config=config.merge(patience)))


def _patience(read_seconds: float, tries: int) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": tries},
        # botocore's own is put together anew for each call, a tenth of what a request takes.
        user_agent=f"Boto3/{boto3.__version__} recorder/{__version__}",
    )


def _in_time(client: Client) -> Client:
    """Have a client begin no try, and no waiting for another one, that might outlast the deadline.

    A call that is not made is an OutOfTime, which botocore does not try again. One that fails with
    no time for another try ends with what it failed of.
    """
    config: Any = client.meta.config
    events: Any = client.meta.events
    longest = config.connect_timeout + config.read_timeout
    service = client.meta.service_model.service_id.hyphenize()

    def begin(event_name: str, **_: object) -> None:
        left = deadline.seconds_left()
        if left < longest:
            call = event_name.removeprefix("before-send.")
            raise OutOfTime(call=call, longest=longest, left=left)

    def try_again(**_: object) -> Literal[False] | None:
        # What is not None goes before what botocore's own handler says.
        return False if deadline.seconds_left() < LONGEST_BACK_OFF + longest else None

    events.register_first("before-send", begin)
    events.register_first(f"needs-retry.{service}", try_again)
    return client


def _read_items(events: Any) -> None:
    """Have what DynamoDB answers of items read in a fifth of the time that botocore takes for it.

    What comes out is the same, since these answers are plain JSON but for binary values, which the
    table has none of. botocore documents no event for it, so whatever does not come as it does
    today is left to botocore: docs/decisions/67-what-botocore-does-not-document.md.
    """
    events.register("before-parse.dynamodb", _read)
    events.register("after-call.dynamodb", _make_sure)


def _read(**given: Any) -> None:
    """Read an answer in botocore's place, which then finds nothing in it."""
    with suppress(KeyError, AttributeError, msgspec.DecodeError):
        operation, answer = given["operation_model"].name, given["response_dict"]
        if operation in OF_ITEMS and answer["status_code"] == HTTPStatus.OK:
            given["customized_response_dict"].update(msgspec.json.decode(answer["body"]))
            answer["body"] = b"{}"


def _make_sure(model: Any, http_response: Any, parsed: dict[str, Any], **_: object) -> None:
    """See that nothing is lost, should botocore some day not take what was read in its place."""
    nothing_came = not parsed.keys() - {"ResponseMetadata"}
    if nothing_came and model.name in OF_ITEMS and http_response.status_code == HTTPStatus.OK:
        parsed.update(msgspec.json.decode(http_response.content))


def _note_call(event_name: str, **_: object) -> None:
    telemetry.note_call(event_name.removeprefix("before-call."))


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what botocore raises into Unavailable or InternalError, with the cause attached."""
    try:
        yield
    except ClientError as error:
        raise (Unavailable if _is_busy(error) else InternalError)(_summary(error)) from error
    except BotoCoreError as error:
        raise Unavailable("What this API stands on does not answer") from error


def leads_to_aws(client: BaseClient) -> bool:
    """Whether a client's calls go to AWS, wherever botocore was told that they are to go."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))


def error_code(error: ClientError) -> str:
    """The service's own code for what went wrong."""
    return error.response["Error"]["Code"]


def _is_busy(error: ClientError) -> bool:
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or error_code(error) in BUSY


def _summary(error: ClientError) -> str:
    return f"{error.operation_name} was refused: {error_code(error)}"
