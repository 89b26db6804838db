"""What has one meaning is taken, however phones, keyboards and libraries write it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from chalicelib.core.ids import uuid7
from tests.support.phone import PASSWORD, Phone

GOOD: dict[str, Any] = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": 3}
SHA256 = "0123456789abcdef" * 4
# As they are copied and pasted: Unicode's spaces, and marks that nobody sees.
AROUND = [" ", "\n", "\t", "\u00a0", "\u3000", "\u2028", "\u200b", "\ufeff", " \r\n\u2009"]


def announced(phone: Phone, **fields: object) -> dict[str, Any]:
    answer = phone.post("/recordings", GOOD | fields)
    assert answer.status == 201, answer.text
    recording: dict[str, Any] = answer.json["recording"]
    return recording


# Numbers


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (b"1234.0", 1234),
        (b"1234.000", 1234),
        (b"1.234e3", 1234),
        (b"1.234567E7", 12_345_670),
        (b"12e+2", 1200),
        (b"120e-1", 12),
        (b"9007199254740991.0", 2**53 - 1),
        (b"0.0", 0),
        (b"-0.0", 0),
    ],
    ids=str,
)
def test_a_whole_number_is_one_however_it_is_written(
    phone: Phone, written: bytes, number: int
) -> None:
    body = b'{"file_name":"1.0","content_type":"audio/mp4","size":3,"duration_ms":%s}' % written

    recording = phone.post("/recordings", body).json["recording"]

    assert (recording["duration_ms"], recording["file_name"]) == (number, "1.0")


def test_numbers_in_a_string_stay_as_they_are(phone: Phone) -> None:
    notes = 'said "2.0", \\ and 1.5e3, 3.0'

    assert announced(phone, notes=notes)["notes"] == notes


def test_a_whole_number_in_a_query_is_one_however_it_is_written(phone: Phone) -> None:
    assert phone.get("/recordings?limit=10.0").status == 200


# Times are in test_bad_input.py, which says what is none.


def test_a_time_whose_plus_became_a_space_in_a_query_is_that_time(phone: Phone) -> None:
    id = uuid7()
    path = f"/recordings/{id}/audio?file_name=a&recorded_at=2024-05-06T10:11:00+02:00"

    answer = phone.call("PUT", path, b"abc", headers={"Content-Type": "audio/mp4"})

    assert answer.json["recorded_at"] == "2024-05-06T08:11:00.000Z"


# Hashes and versions


def test_a_hash_in_upper_case_is_the_same_hash(phone: Phone) -> None:
    id = uuid7()

    assert announced(phone, id=id, sha256=SHA256.upper())["sha256"] == SHA256
    assert phone.post("/recordings", GOOD | {"id": id, "sha256": SHA256}).status == 200


def test_a_weak_etag_names_a_version(phone: Phone) -> None:
    id = announced(phone)["id"]

    first = phone.patch(f"/recordings/{id}", {"notes": "a"}, headers={"If-Match": 'W/"1"'})
    second = phone.patch(f"/recordings/{id}", {"notes": "b"}, headers={"If-Match": 'W/"1"'})

    assert (first.status, second.code) == (200, "version_conflict")


@pytest.mark.parametrize("written", ['"1" ', ' "1"', '\t"1"\t'], ids=ascii)
def test_white_space_about_a_header_is_no_part_of_it(phone: Phone, written: str) -> None:
    id = announced(phone)["id"]

    answer = phone.patch(f"/recordings/{id}", {"notes": "a"}, headers={"If-Match": written})

    assert answer.status == 200


def test_a_path_may_be_percent_encoded(phone: Phone) -> None:
    id = announced(phone)["id"]

    assert phone.get(f"/recordings/{id.replace('-', '%2D')}").json["id"] == id


# Text that is typed or pasted


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_white_space_about_an_address_is_no_part_of_it(nobody: Phone, around: str) -> None:
    email = f"{uuid7()}@example.com"
    typed = {"email": f"{around}{email}{around}", "password": PASSWORD}

    signed_up = nobody.post("/auth/signup", typed)

    assert (signed_up.status, signed_up.json["user"]["email"]) == (201, email)
    assert nobody.post("/auth/login", typed).status == 200
    assert nobody.post("/auth/password/forgot", {"email": typed["email"]}).status == 202


def test_white_space_within_an_address_is_an_error(nobody: Phone) -> None:
    answer = nobody.post("/auth/login", {"email": "ann @example.com", "password": PASSWORD})

    assert (answer.status, answer.fields) == (400, ["email"])


def test_white_space_about_a_password_is_a_part_of_it(phone: Phone) -> None:
    assert phone.log_in(password=f" {PASSWORD}").code == "invalid_credentials"


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_white_space_about_a_pasted_token_is_no_part_of_it(phone: Phone, around: str) -> None:
    token = f"{around}{phone.tokens['refresh_token']}{around}"

    assert phone.post("/auth/refresh", {"refresh_token": token}).status == 200
    assert phone.post("/auth/logout", {"refresh_token": token}).status == 204
    assert phone.get("/me").code == "not_authenticated"


@pytest.mark.parametrize("path", ["/auth/email/confirm", "/auth/password/reset"])
def test_a_token_that_is_nothing_but_white_space_is_refused(nobody: Phone, path: str) -> None:
    body = {"token": " \n"} | ({"new_password": PASSWORD} if "reset" in path else {})

    answer = nobody.post(path, body)

    assert (answer.status, answer.fields) == (400, ["token"])


@pytest.mark.parametrize(
    ("device", "kept"),
    [
        ("", None),
        (" \t\n", None),
        ("\0", None),
        ("  Ann's phone\n", "Ann's phone"),
        ("Pixel\n8\u2028Pro", "Pixel 8 Pro"),
        ("x" * 5000, "x" * 100),
        ("e\u0301" * 100, "\u00e9" * 100),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_no_device_is_kept_from_logging_in_by_its_name(
    phone: Phone, device: str, kept: str | None
) -> None:
    tablet = phone.on_another_device(device=device)

    named = {each["id"]: each["device"] for each in phone.get("/me/sessions").json["sessions"]}
    assert named[tablet.session_id] == kept


@pytest.mark.parametrize(
    ("name", "kept"),
    [("", None), (" \n", None), (" Ann\nLee\t", "Ann Lee"), ("e\u0301" * 100, "\u00e9" * 100)],
    ids=lambda text: ascii(text)[:20],
)
def test_nobody_is_kept_from_signing_up_by_their_name(
    nobody: Phone, name: str, kept: str | None
) -> None:
    them = {"email": f"{uuid7()}@example.com", "password": PASSWORD, "name": name}

    assert nobody.post("/auth/signup", them).json["user"]["name"] == kept


def test_a_tag_is_one_line_without_white_space_about_it(phone: Phone) -> None:
    recording = announced(phone, tags=[" work\n", "a\tb"])

    assert recording["tags"] == ["work", "a b"]
    query = {"status": "uploading", "tag": "work\n"}
    assert phone.get("/recordings", query=query).json["recordings"] == [recording]


# Titles


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("a\tb", "a b"),
        ("a\nb", "a b"),
        ("a\rb", "a b"),
        ("a\r\nb", "a b"),
        ("a\n\nb", "a  b"),
        ("a\u2028b\u2029c", "a b c"),
        ("9/12\\13", "9/12\\13"),
        ("..", ".."),
    ],
    ids=ascii,
)
def test_a_title_is_one_line_and_no_path(phone: Phone, title: str, kept: str) -> None:
    recording = announced(phone, file_name=title)

    assert recording["file_name"] == kept
    path = f"/recordings/{recording['id']}"
    assert phone.patch(path, {"file_name": title}).json["file_name"] == kept


@pytest.mark.parametrize("field", ["file_name", "notes", "tags"])
def test_a_text_is_kept_in_one_normal_form(phone: Phone, field: str) -> None:
    text = "Caf\u00e9 \ud68c\uc758"
    taken_apart = unicodedata.normalize("NFD", text)

    recording = announced(phone, **{field: [taken_apart] if field == "tags" else taken_apart})

    assert recording[field] == ([text] if field == "tags" else text)


@pytest.mark.parametrize(
    ("field", "most", "blamed"),
    [("file_name", 255, "file_name"), ("notes", 4000, "notes"), ("tags", 100, "tags[0]")],
)
def test_the_characters_of_a_text_are_counted_as_they_are_seen(
    phone: Phone, field: str, most: int, blamed: str
) -> None:
    def told(count: int) -> dict[str, object]:
        text = "e\u0301" * count
        return GOOD | {field: [text] if field == "tags" else text}

    assert phone.post("/recordings", told(most)).status == 201
    assert phone.post("/recordings", told(most + 1)).fields == [blamed]


# Bodies


def test_a_mark_of_utf_8_before_a_body_is_no_part_of_it(phone: Phone) -> None:
    body = b'\xef\xbb\xbf{"file_name":"a.m4a","content_type":"audio/mp4","size":3}'

    assert phone.post("/recordings", body).status == 201


@pytest.mark.parametrize("token", ["", " ", None, "x" * 5000])
def test_a_device_that_had_no_refresh_token_says_so_as_it_likes(
    phone: Phone, token: str | None
) -> None:
    assert phone.log_in(refresh_token=token).status == 200
