"""What the gate costs: a warm list of 50, with and without it, against a bare handler, in one run.

The gate is the look at the account and the session (docs/decisions/20). The embedded backend
answers each call once, and that answer is given again: the app is measured, not the backend.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.httpsession import URLLib3Session
from chalice.local import LambdaContext, LambdaEventConverter, RouteMatcher

ROUNDS = 1000
SIZE = 50
Ask = Callable[..., Any]


def main() -> None:
    """Measure, and print."""
    os.environ["RECORDER_BCRYPT_COST"] = "4"
    from app import app
    from chalicelib import wiring
    from chalicelib.aws.dynamodb.items import from_attributes

    services = wiring.services()
    converter = LambdaEventConverter(RouteMatcher(list(app.routes)), app.api.binary_types)

    def ask(method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        event = converter.create_lambda_event(method, path, headers, body)
        return json.loads(app(event, LambdaContext("api", 1024))["body"])

    token = _with_recordings(ask)
    dynamodb = services.clients.dynamodb
    queries: list[dict[str, Any]] = []
    dynamodb.meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: queries.append(dict(params))
    )
    dynamodb.meta.events.register("before-send.dynamodb", _replay())

    def gated() -> int:
        answer = ask(
            "GET", f"/recordings?status=uploading&limit={SIZE}", authorization=f"Bearer {token}"
        )
        return len(answer["recordings"])

    def only_verified(token: str, **_: object) -> object:
        return services.tokens.verify(token)

    def ungated() -> int:
        with patch.object(services.sessions, "authenticate", only_verified):
            return gated()

    def bare() -> int:
        items = [from_attributes(item) for item in dynamodb.query(**query)["Items"]]
        return len(json.loads(json.dumps({"recordings": items}))["recordings"])

    sizes = {gated(), ungated()}
    query = queries[0]
    sizes.add(bare())
    works = bare, ungated, gated
    # In turns, so that whatever else the machine does falls on each.
    times = [[_seconds(work) for work in works] for _ in range(ROUNDS)]
    least, without, with_it = (statistics.median(each) for each in zip(*times, strict=True))
    print(f"a warm list of {sizes}, medians of {ROUNDS}, processor time")
    print(f"a bare handler:   {least * 1000:.2f} ms")
    print(f"without the gate: {without * 1000:.2f} ms, {without / least:.2f} times that")
    print(f"with the gate:    {with_it * 1000:.2f} ms, {with_it / least:.2f} times that, ", end="")
    print(f"{with_it / without:.2f} times without")


def _with_recordings(ask: Ask) -> str:
    """The access token of somebody who has as many recordings as are to be listed."""
    who = json.dumps({"email": "ann@example.com", "password": "battery staple"}).encode()
    token = str(ask("POST", "/auth/signup", who)["access_token"])
    new = [{"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 9} for _ in range(25)]
    for _ in range(SIZE // len(new)):
        body = json.dumps({"recordings": new}).encode()
        ask("POST", "/recordings/batch", body, authorization=f"Bearer {token}")
    return token


def _replay() -> Ask:
    """Has each call be answered as it was the first time."""
    answers: dict[Any, AWSResponse] = {}

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        if request.body not in answers:
            answers[request.body] = URLLib3Session().send(request)
        return answers[request.body]

    return answer


def _seconds(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


if __name__ == "__main__":
    main()
