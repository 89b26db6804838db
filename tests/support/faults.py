"""Faults: calls to AWS that fail before they happen, or whose answer is lost afterwards."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, TypedDict

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from chalicelib.aws.clients import Clients


class Call(NamedTuple):
    """A call to AWS: its name, such as `s3.CopyObject`, and the headers it was sent with."""

    name: str
    headers: dict[str, str]


class Died(BaseException):
    """The process ended: no code of the app's runs after this."""


class Failure(TypedDict):
    """What happens to a call, and whether AWS does what was asked before it happens."""

    error: BaseException
    done: bool


REFUSED = Failure(
    error=ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
        "AnyCall",
    ),
    done=False,
)
LOST = Failure(error=EndpointConnectionError(endpoint_url="http://gone"), done=True)
# Dying before a call leaves what dying after the one before it leaves.
DIED = Failure(error=Died(), done=True)


class Faults:
    """Injects faults into the clients, by botocore's own events, until cleared.

    `times` is how many calls fail before they succeed again; botocore's retries are over by
    then, so one fault is one failed call of the app's.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = {
            "s3": (clients.s3, clients.s3_copying, clients.s3_copying_long),
            "dynamodb": (clients.dynamodb,),
            "events": (clients.events,),
            "secretsmanager": (clients.secretsmanager,),
            "sesv2": (clients.ses,),
        }
        self._registered: list[tuple[str, str, Callable[..., Any]]] = []
        self.met = 0

    def refuse(
        self,
        service: str,
        operation: str,
        code: str = "InternalError",
        status: int = 500,
        times: int = 1000,
        bucket: str = "",
        **extra: Any,
    ) -> None:
        """Have the service answer an error, and do nothing; S3 perhaps for one bucket alone."""
        error = {
            "Error": {"Code": code, "Message": code},
            "ResponseMetadata": {"HTTPStatusCode": status},
            **extra,
        }

        def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
            if self.met >= times or bucket not in params["url"]:
                return None
            self.met += 1
            return AWSResponse("", status, HTTPHeaders(), None), error

        self._register(service, f"before-call.{service}.{operation}", answer)

    def lose_the_answer(self, service: str, operation: str, times: int = 1000) -> None:
        """Have the service do what was asked, and the connection break before it says so."""

        def lose(**_: Any) -> None:
            if self.met < times:
                self.met += 1
                raise EndpointConnectionError(endpoint_url="http://gone")

        self._register(service, f"after-call.{service}.{operation}", lose)

    def time_out(self, service: str, operation: str) -> None:
        """Have the service do what was asked, but so slowly that the client gives up on it.

        What the service refuses, it refuses at once.
        """

        def give_up(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            answer = URLLib3Session().send(request)
            if answer.status_code >= HTTPStatus.BAD_REQUEST:
                return answer
            self.met += 1
            raise ReadTimeoutError(endpoint_url=request.url)

        # Inside botocore's own tries.
        self._register(service, f"before-send.{service}.{operation}", give_up)

    def lag(self) -> None:
        """Have DynamoDB lag, as it may: only who asks for what was last written finds anything."""

        def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
            body = json.loads(params["body"])
            asked = body["RequestItems"].values() if "RequestItems" in body else [body]
            if all(each.get("ConsistentRead") for each in asked):
                return None
            return AWSResponse("", 200, HTTPHeaders(), None), {"Items": [], "Responses": {}}

        for operation in ("GetItem", "BatchGetItem", "Query"):
            self._register("dynamodb", f"before-call.dynamodb.{operation}", answer)

    def meanwhile(
        self, service: str, operation: str, what: Callable[[], object], after: int = 0
    ) -> None:
        """Have something else happen just before the next such call, or `after` some of them."""
        numbers = itertools.count()

        def happen(**_: Any) -> None:
            if next(numbers) == after:
                self.met += 1
                what()

        self._register(service, f"before-call.{service}.{operation}", happen)

    def fail_at(self, number: int, error: BaseException, *, done: bool) -> None:
        """Have one call fail, counted from 0; `done` says whether it did what was asked."""
        numbers = itertools.count()

        def fail(parsed: dict[str, Any] | None = None, **_: Any) -> None:
            if next(numbers) == number:
                self.met += 1
                if body := (parsed or {}).get("Body"):
                    body.close()  # Nobody reads it any more.
                # Without what it passed through when it was raised before.
                raise error.with_traceback(None)

        for service in self._clients:
            self._register(service, "after-call" if done else "before-call", fail)

    def interrupt_at(self, number: int, what: Callable[[], object]) -> None:
        """Have something else happen just before one call, counted from 0."""
        numbers = itertools.count()

        def happen(**_: Any) -> None:
            if next(numbers) == number:
                self.met += 1
                what()

        for service in self._clients:
            self._register(service, "before-call", happen)

    def after_each(self, what: Callable[[], object]) -> None:
        """Have something happen after every call, before its answer is looked at."""

        def happen(**_: Any) -> None:
            what()

        for service in self._clients:
            self._register(service, "after-call", happen)

    def record(self) -> list[Call]:
        """A list that grows by every call from now on."""
        calls: list[Call] = []

        def note(event_name: str, params: dict[str, Any], **_: Any) -> None:
            calls.append(Call(event_name.removeprefix("before-call."), dict(params["headers"])))

        for service in self._clients:
            self._register(service, "before-call", note)
        return calls

    def calls_of(self, what: Callable[[], object]) -> list[str]:
        """The names of the calls that something makes."""
        calls = self.record()
        what()
        self.clear()
        return [call.name for call in calls]

    def asked(self, service: str, operation: str) -> list[dict[str, Any]]:
        """The parameters of every such call from now on, also of those that are refused."""
        asked: list[dict[str, Any]] = []

        def note(params: dict[str, Any], **_: Any) -> None:
            asked.append(params)

        self._register(service, f"before-parameter-build.{service}.{operation}", note)
        return asked

    def answered(self, service: str) -> list[tuple[dict[str, Any], bytes]]:
        """What the service answers to every call from now on, read and as it came."""
        answered: list[tuple[dict[str, Any], bytes]] = []

        def note(parsed: dict[str, Any], http_response: AWSResponse, **_: Any) -> None:
            answered.append((parsed, http_response.content))

        self._register(service, f"after-call.{service}", note)
        return answered

    def ask(self, service: str, operation: str, **parameters: object) -> None:
        """Have every such call ask for this, whatever it asked for."""

        def change(params: dict[str, Any], **_: Any) -> None:
            params.update(parameters)

        self._register(service, f"before-parameter-build.{service}.{operation}", change)

    def clear(self) -> None:
        """Let every call through again."""
        for service, event, handler in self._registered:
            for client in self._clients[service]:
                client.meta.events.unregister(event, handler)
        self._registered.clear()
        self.met = 0

    def _register(self, service: str, event: str, handler: Callable[..., Any]) -> None:
        for client in self._clients[service]:
            client.meta.events.register_first(event, handler)
        self._registered.append((service, event, handler))
