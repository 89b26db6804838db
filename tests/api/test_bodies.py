"""Bodies: what is encoded, is a part, or does not say how long it is, is kept as nothing else."""

from __future__ import annotations

import gzip
import json

import pytest

from chalicelib.api.http import Route
from chalicelib.core.ids import uuid7
from tests.support.phone import Answer, Phone
from tests.support.routes import ROUTES, ask, named

SOUND = b"some sound"
WITH_BODY = [route for route in ROUTES if route.body or route.body_types]


def put(phone: Phone, id: str, data: bytes, **headers: str) -> Answer:
    sent = {"Content-Type": "audio/mp4"} | {n.replace("_", "-"): v for n, v in headers.items()}
    path = f"/recordings/{id}/audio"
    return phone.call("PUT", path, data, query={"file_name": "a.m4a"}, headers=sent)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "aws-chunked", "x"])
def test_an_encoded_body_is_never_kept_as_the_recording(phone: Phone, encoding: str) -> None:
    id = uuid7()

    refused = put(phone, id, gzip.compress(SOUND), Content_Encoding=encoding)

    assert (refused.status, refused.code) == (415, "unsupported_media_type")
    assert phone.get(f"/recordings/{id}").status == 404


@pytest.mark.parametrize("encoding", ["identity", "Identity", " identity ", ""])
def test_an_encoding_that_is_none_is_none(phone: Phone, encoding: str) -> None:
    assert put(phone, uuid7(), SOUND, Content_Encoding=encoding).status == 201


@pytest.mark.parametrize("part", ["bytes 0-9/20", "bytes 0-9/10", "bytes */10", ""])
def test_a_part_of_a_body_is_never_kept_as_the_recording(phone: Phone, part: str) -> None:
    id = uuid7()

    refused = put(phone, id, SOUND, Content_Range=part)

    assert (refused.status, refused.fields) == (400, ["Content-Range"])
    assert phone.get(f"/recordings/{id}").status == 404


@pytest.mark.parametrize("length", ["abc", "-1", "1.0", "0x10", "\u0661", "1" * 5000, "1, 1"])
def test_a_length_that_is_no_number_is_refused(phone: Phone, length: str) -> None:
    refused = put(phone, uuid7(), SOUND, Content_Length=length)

    assert (refused.status, refused.fields) == (400, ["Content-Length"])


@pytest.mark.parametrize("length", ["9", "11", "0"])
def test_a_length_that_is_another_is_refused(phone: Phone, length: str) -> None:
    refused = put(phone, uuid7(), SOUND, Content_Length=length)

    assert (refused.status, refused.fields) == (400, ["body"])


@pytest.mark.parametrize("kind", ["text/plain", "audio/x-unheard-of", "audio", ""])
def test_a_type_is_judged_before_what_it_does_to_the_bytes(phone: Phone, kind: str) -> None:
    # API Gateway reads what is not binary to it as UTF-8, so that its length is another.
    refused = put(phone, uuid7(), SOUND, Content_Type=kind, Content_Length="99")

    assert (refused.status, refused.code) == (415, "unsupported_media_type")
    assert refused.fields == ["Content-Type"]


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
def test_no_body_is_read_that_is_encoded_or_a_part(phone: Phone, route: Route) -> None:
    assert ask(phone, route, {"Content-Encoding": "gzip"}).status == 415
    assert ask(phone, route, {"Content-Range": "bytes 0-1/2"}).fields == ["Content-Range"]
    assert ask(phone, route, {"Content-Length": "abc"}).fields == ["Content-Length"]


def test_a_body_of_very_many_numbers_takes_no_time(phone: Phone) -> None:
    body = json.dumps({"parts": [1.5] * 1_000_000}).encode()

    assert phone.complete(uuid7(), body).fields == ["parts[0]"]
