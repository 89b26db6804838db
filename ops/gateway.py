"""What API Gateway answers by itself, before or instead of the app: in the app's own form.

Chalice declares none of this, and API Gateway's own words have no CORS headers, so that a web app
cannot even read them. `answers` is the one source for `chalice deploy` and for a package.
"""

from __future__ import annotations

from typing import NamedTuple

from chalicelib.api.problems import HEADERS, PROBLEM, cors, describe
from chalicelib.errors import (
    InternalError,
    InvalidRequest,
    NotFound,
    RecorderError,
    TooLarge,
    TooManyAttempts,
    Unavailable,
    UnsupportedMediaType,
)

NO_SUCH_ROUTE = NotFound("There is no such path, or it is not for this method")
BUSY = Unavailable("The app did not answer in time")

# By API Gateway's own names:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
REFUSALS: dict[str, RecorderError] = {
    # The two defaults give all that is not named here their status, too.
    "DEFAULT_4XX": InvalidRequest("The request is not one that can be handed on"),
    "DEFAULT_5XX": InternalError("The app could not be asked"),
    # What is no route is taken for one that wants AWS's own signature; with a token of ours in the
    # request, for one with a bad signature.
    "MISSING_AUTHENTICATION_TOKEN": NO_SUCH_ROUTE,
    "INVALID_SIGNATURE": NO_SUCH_ROUTE,
    "REQUEST_TOO_LARGE": TooLarge("A request has 10 MB at most"),
    "UNSUPPORTED_MEDIA_TYPE": UnsupportedMediaType("The content type is not supported"),
    # Its bucket of requests is filled up by the second.
    "THROTTLED": TooManyAttempts(1),
    "INTEGRATION_FAILURE": BUSY,
    "INTEGRATION_TIMEOUT": BUSY,
}


class Answer(NamedTuple):
    """What is answered. The values of headers are quoted, as API Gateway wants them."""

    status: int
    headers: dict[str, str]
    templates: dict[str, str]


def answers(cors_origin: str) -> dict[str, Answer]:
    """What API Gateway answers to each kind of refusal, for the origin that may call."""
    always = HEADERS | cors(cors_origin).get_access_control_headers() | {"Content-Type": PROBLEM}
    return {
        kind: Answer(
            error.status,
            {name: f"'{value}'" for name, value in {**always, **error.headers}.items()},
            {"application/json": describe(error, "$context.requestId")},
        )
        for kind, error in REFUSALS.items()
    }
