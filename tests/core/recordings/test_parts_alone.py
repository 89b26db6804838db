"""The parts of an upload signed one at a time, as some libraries ask for them."""

from __future__ import annotations

import pytest

from chalicelib.core.ids import uuid7
from tests.core.recordings.conftest import PART_BYTES
from tests.support.faults import Faults
from tests.support.phone import Answer, Phone, send_part
from tests.support.s3_rules import accepts

# A part, and one of one byte.
SOUND = b"a" * PART_BYTES + b"b"

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.fixture
def in_parts(phone: Phone) -> str:
    """The id of an upload in two parts, of which the first has arrived."""
    begun = phone.announce(SOUND, upload_method="multipart").json
    send_part(begun["upload"], 1, SOUND)
    return str(begun["recording"]["id"])


def part_of(phone: Phone, id: str, number: object) -> Answer:
    return phone.get(f"/recordings/{id}/upload/parts/{number}")


def test_the_least_that_can_go_in_parts_is_one_byte_in_one_part(phone: Phone) -> None:
    id = phone.upload(b"x", upload_method="multipart")

    assert phone.download(id).content == b"x"


@pytest.mark.parametrize(("number", "size"), [(1, PART_BYTES), (2, 1)])
def test_each_part_is_signed_alone_be_it_again(
    phone: Phone, in_parts: str, number: int, size: int
) -> None:
    answer = part_of(phone, in_parts, number)

    part = answer.json
    assert (answer.status, part["number"], part["size"]) == (200, number, size)
    assert accepts("PUT", part["url"], {"Content-Length": str(size)})
    assert not accepts("PUT", part["url"], {"Content-Length": str(size + 1)})


def test_parts_that_were_signed_alone_make_the_recording(phone: Phone, in_parts: str) -> None:
    part = part_of(phone, in_parts, 2).json
    send_part({"parts": [part], "part_size": PART_BYTES}, 2, SOUND)

    assert phone.complete(in_parts).status == 200
    assert phone.download(in_parts).content == SOUND


def test_a_part_that_the_upload_has_not_is_not_found(phone: Phone, in_parts: str) -> None:
    assert part_of(phone, in_parts, 3).code == "not_found"
    assert part_of(phone, phone.deliver(b"x"), 1).code == "not_found"


@pytest.mark.parametrize("number", [0, -1, 10_001, "x", "1.5", "%201"])
def test_a_number_that_is_none_of_a_part_is_refused(
    phone: Phone, in_parts: str, number: object
) -> None:
    answer = part_of(phone, in_parts, number)

    assert (answer.status, answer.fields) == (400, ["number"])


def test_of_what_is_no_upload_any_more_no_part_is_signed(phone: Phone) -> None:
    id = phone.upload(b"x", upload_method="multipart")

    assert part_of(phone, id, 1).code == "not_ready"


def test_a_part_of_what_died_before_s3_knew_of_it_is_signed(phone: Phone, faults: Faults) -> None:
    id = uuid7()
    faults.refuse("s3", "CreateMultipartUpload")
    assert phone.announce(b"x", id=id, upload_method="multipart").status == 503
    faults.clear()

    assert part_of(phone, id, 1).status == 200
    assert phone.resume(id).json["upload"]["uploaded"] == []
