"""What is sent while it is recorded: pieces, and the recording that they become."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib import jobs, wiring
from chalicelib.aws.clients import Clients
from chalicelib.core.ids import uuid7
from chalicelib.core.recordings import live_uploads, slices
from chalicelib.settings import Settings
from tests.conftest import LAMBDA, Clock, Find
from tests.support import engines
from tests.support.faults import Faults
from tests.support.invariants import Held, Invariants
from tests.support.phone import Phone, send, send_piece

ONE, TWO, THREE = b"some ", b"sound, ", b"and more"
SOUND = ONE + TWO + THREE


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def notice(key: str, settings: Settings, etag: str = "x") -> None:
    detail = {"bucket": {"name": settings.uploads_bucket}, "object": {"key": key, "etag": etag}}
    jobs.notice({"detail": detail}, LAMBDA)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 takes parts of six bytes, and so does the app."""
    monkeypatch.setattr(slices, "LEAST_PART", 6)
    engines.take_small_parts(monkeypatch, 6)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is short enough to be put together while its app waits."""
    monkeypatch.setattr(live_uploads, "FEW_PIECES", 0)


@pytest.fixture
def fall_silent(clock: Clock) -> Callable[[], None]:
    """Lets upkeep find what nobody has sent anything of for a day."""

    def fall_silent() -> None:
        clock.advance(days=1, seconds=1)
        wiring.services().upkeep.run()

    return fall_silent


# Announcing.


def test_a_live_upload_is_announced_without_a_size(phone: Phone) -> None:
    begun = phone.announce_live()

    assert begun.status == 201
    assert begun.json["recording"]["size"] == 0
    upload = begun.json["upload"]
    assert (upload["method"], upload["offset"], upload["missing"]) == ("live", 0, [])
    assert upload["largest_piece"] == 8 * 1024 * 1024


@pytest.mark.parametrize("field", ["size", "sha256"])
def test_what_nobody_knows_yet_is_not_announced(phone: Phone, field: str) -> None:
    value = {"size": 10, "sha256": "0" * 64}[field]
    refused = phone.announce_live(**{field: value})

    assert (refused.status, refused.fields) == (400, [field])


def test_only_a_live_upload_has_no_size(phone: Phone) -> None:
    refused = phone.announce_live(upload_method="put")

    assert (refused.status, refused.fields) == (400, ["size"])


def test_a_live_upload_is_announced_again(phone: Phone) -> None:
    id = phone.record(ONE, id=uuid7())
    again = phone.announce_live(id=id, file_name="renamed.aac")

    assert (again.status, again.json["upload"]["offset"]) == (200, len(ONE))
    assert again.json["recording"]["file_name"] == "renamed.aac"
    assert phone.announce_live(id=id, content_type="audio/mp4").code == "id_conflict"


@pytest.mark.parametrize("method", ["put", "multipart"])
def test_what_is_sent_live_cannot_be_sent_another_way(phone: Phone, method: str) -> None:
    id = phone.record(ONE)
    announced = {"content_type": "audio/aac", "upload_method": method}

    assert phone.announce(ONE, id=id, **announced).code == "id_conflict"
    assert phone.put_audio(id, ONE, content_type="audio/aac").code == "id_conflict"


@pytest.mark.usefixtures("long")
def test_nor_can_it_once_it_has_ended_with_the_same_hash(phone: Phone) -> None:
    id = phone.record(ONE)
    assert phone.complete_live(id, ONE, sha256=sha256(ONE)).status == 202

    assert phone.put_audio(id, ONE, content_type="audio/aac").code == "id_conflict"


def test_once_it_is_ready_the_same_bytes_find_it(phone: Phone) -> None:
    id = phone.record(ONE)
    phone.complete_live(id, ONE)

    assert phone.put_audio(id, ONE, content_type="audio/aac").status == 200
    assert phone.put_audio(id, TWO, content_type="audio/aac").code == "id_conflict"


def test_what_is_sent_otherwise_takes_no_pieces(phone: Phone) -> None:
    id = str(phone.announce(ONE).json["recording"]["id"])

    assert phone.announce_pieces(id, 0, ONE).code == "not_ready"
    assert phone.announce_live(id=id, content_type="audio/mp4").code == "id_conflict"


# Pieces.


def test_pieces_follow_each_other(phone: Phone) -> None:
    id = phone.record()
    first = phone.announce_pieces(id, 0, ONE, TWO).json
    second = phone.announce_pieces(id, first["offset"], THREE).json

    assert first["offset"] == len(ONE + TWO)
    assert [(it["offset"], it["size"]) for it in first["pieces"]] == [(0, 5), (5, 7)]
    assert second["offset"] == len(SOUND)
    assert phone.seen(id)["size"] == len(SOUND)
    assert phone.usage() == (len(SOUND), 1)


def test_size_and_hash_of_a_piece_are_signed(phone: Phone) -> None:
    id, piece = phone.record(), {"size": 5, "sha256": sha256(ONE).upper()}
    answer = phone.post(f"/recordings/{id}/pieces", {"offset": 0, "pieces": [piece]}).json

    [signed] = answer["pieces"]
    assert signed["headers"]["Content-Length"] == "5"
    assert "content-length%3Bhost%3Bx-amz-checksum-sha256" in signed["url"]
    assert datetime.fromisoformat(answer["expires_at"]) > datetime.now().astimezone()


def test_what_was_announced_is_signed_again(phone: Phone) -> None:
    id = phone.record()
    first = phone.announce_pieces(id, 0, ONE, TWO)
    again = phone.announce_pieces(id, 0, ONE, TWO)

    assert (again.status, again.json["offset"]) == (200, first.json["offset"])
    assert phone.usage() == (len(ONE + TWO), 1)


@pytest.mark.parametrize("offset", [4, 6])
def test_pieces_that_do_not_follow_are_told_where_to_go_on(phone: Phone, offset: int) -> None:
    id = phone.record(ONE)
    refused = phone.announce_pieces(id, offset, TWO)

    assert (refused.status, refused.code) == (409, "offset_conflict")
    assert refused.json["offset"] == len(ONE)
    assert phone.usage() == (len(ONE), 1)


@pytest.mark.parametrize("sizes", [[0], [8 * 1024 * 1024 + 1], [], [1] * 51])
def test_pieces_have_their_bounds(phone: Phone, sizes: list[int]) -> None:
    id, pieces = phone.record(), [{"size": size} for size in sizes]
    refused = phone.post(f"/recordings/{id}/pieces", {"offset": 0, "pieces": pieces})

    assert refused.status == 400


def test_the_quota_is_counted_with_each_announcement(
    phone: Phone, configure: Callable[..., None], invariants: Invariants
) -> None:
    configure(quota_bytes=len(ONE + TWO))
    id = phone.record(ONE)

    assert phone.announce_pieces(id, len(ONE), TWO).status == 200
    refused = phone.announce_pieces(id, len(ONE + TWO), b"x")
    assert (refused.status, refused.code, refused.fields) == (403, "quota_exceeded", ["pieces"])
    assert invariants.broken(phone.user_id) == []


def test_a_recording_has_at_most_so_many_bytes(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(max_recording_bytes=len(ONE))
    id = phone.record(ONE)

    assert phone.announce_pieces(id, len(ONE), b"x").code == "too_large"


def test_a_recording_has_at_most_so_many_pieces(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_uploads, "MOST_PIECES", 2)
    id = phone.record(ONE, TWO)

    assert phone.announce_pieces(id, len(ONE + TWO), THREE).code == "too_large"


def test_beyond_so_many_signed_again_what_is_missing_still_is(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_uploads, "MOST_PIECES", 2)
    id = phone.record()
    phone.announce_pieces(id, 0, ONE, TWO)

    assert phone.announce_pieces(id, 0, ONE, TWO).status == 200
    assert phone.announce_pieces(id, 0, ONE).code == "too_large"
    send(phone.resume(id).json["upload"], ONE + TWO)
    assert phone.complete_live(id, ONE + TWO).status == 200


def test_an_announcement_costs_one_read_and_one_transaction(phone: Phone, faults: Faults) -> None:
    id = phone.record(*[ONE] * 40)
    calls = faults.calls_of(lambda: phone.announce_pieces(id, 40 * len(ONE), TWO))

    # The session is read together with the recording.
    assert calls == ["dynamodb.BatchGetItem", "dynamodb.TransactWriteItems"]


def test_two_phones_at_one_offset_are_told_apart(phone: Phone, faults: Faults) -> None:
    id, other = phone.record(), phone.on_another_device()
    faults.meanwhile(
        "dynamodb", "TransactWriteItems", lambda: other.announce_pieces(id, 0, ONE), after=0
    )
    second = phone.announce_pieces(id, 0, TWO)

    assert (second.code, second.json["offset"]) == ("offset_conflict", len(ONE))
    assert phone.usage() == (len(ONE), 1)


def test_what_is_missing_is_signed_in_pieces(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_uploads, "PIECE_BYTES", 6)
    id = phone.record()
    pieces = phone.announce_pieces(id, 0, ONE, TWO, THREE).json["pieces"]
    send_piece(pieces[0], ONE)
    upload = phone.resume(id).json["upload"]

    assert [(it["offset"], it["size"]) for it in upload["missing"]] == [(5, 6), (11, 6), (17, 3)]
    send(upload, SOUND)
    assert phone.resume(id).json["upload"]["missing"] == []
    assert phone.complete_live(id, SOUND).status == 200
    assert phone.download(id).content == SOUND


# Completing.


def test_a_short_recording_is_ready_at_once(
    phone: Phone, held: Held, under_way: Callable[[Phone], list[str]], find: Find
) -> None:
    id = phone.record(ONE, TWO, THREE)
    ready = phone.complete_live(id, SOUND, sha256=sha256(SOUND))

    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert (ready.json["size"], ready.json["sha256"]) == (len(SOUND), sha256(SOUND))
    assert "interrupted" not in ready.json
    assert phone.download(id).content == SOUND
    assert held("uploads", phone.user_id) == {}
    assert under_way(phone) == []
    assert not {"pieces", "ended_at", "gaps", "signed_again"} & find(phone, id).keys()


def test_completing_what_is_ready_changes_nothing(phone: Phone) -> None:
    id = phone.record(ONE)
    first = phone.complete_live(id, ONE).json

    assert phone.complete_live(id, ONE).json == first
    assert phone.complete_live(id, ONE, sha256=first["sha256"]).json == first
    assert phone.complete(id).json == first
    assert phone.resume(id).json["upload"] is None
    assert phone.announce_pieces(id, len(ONE), TWO).code == "not_ready"


@pytest.mark.parametrize("is_ready", [False, True])
def test_what_it_is_not_is_refused_before_it_is_ready_and_after(
    phone: Phone, monkeypatch: pytest.MonkeyPatch, is_ready: bool
) -> None:
    monkeypatch.setattr(live_uploads, "FEW_PIECES", 100 * is_ready)
    id, hashed = phone.record(ONE), {"sha256": sha256(ONE)}
    phone.complete_live(id, ONE, **hashed)

    assert phone.complete(id, {"size": len(ONE) + 1}).code == "upload_incomplete"
    assert phone.complete(id, {"size": len(ONE) - 1}).code == "upload_mismatch"
    assert phone.complete_live(id, ONE, sha256=sha256(TWO)).code == "upload_mismatch"
    assert phone.complete_live(id, ONE, **hashed).status == (200 if is_ready else 202)


def test_the_size_has_to_be_said(phone: Phone) -> None:
    refused = phone.complete(phone.record(ONE))

    assert (refused.status, refused.fields) == (400, ["size"])


def test_what_was_announced_stays_counted_until_it_is_ready(
    phone: Phone, configure: Callable[..., None], invariants: Invariants
) -> None:
    configure(quota_bytes=len(SOUND))
    id, other = phone.record(ONE), phone.record()
    [late] = phone.announce_pieces(id, len(ONE), TWO + THREE).json["pieces"]

    assert phone.complete_live(id, ONE, sha256=sha256(TWO)).code == "upload_mismatch"
    assert phone.resume(id).json["upload"]["offset"] == len(SOUND)
    assert phone.announce_pieces(other, 0, b"x").code == "quota_exceeded"
    send_piece(late, TWO + THREE)
    assert phone.complete_live(id, SOUND).status == 200
    assert phone.usage() == (len(SOUND), 2)
    assert invariants.broken(phone.user_id) == []


@pytest.mark.parametrize("size", [len(SOUND), len(SOUND) + 1])
def test_what_is_missing_is_named(phone: Phone, size: int) -> None:
    id = phone.record()
    for piece in phone.announce_pieces(id, 0, ONE, TWO, THREE).json["pieces"][::2]:
        send_piece(piece, SOUND[piece["offset"] : piece["offset"] + piece["size"]])
    refused = phone.complete(id, {"size": size})

    assert (refused.status, refused.code) == (409, "upload_incomplete")
    messages = [error["message"] for error in refused.json["errors"]]
    assert messages[0] == "Bytes 5 to 11 have not arrived"
    assert len(messages) == 1 + size - len(SOUND)


def test_fewer_bytes_than_arrived_are_a_mismatch(phone: Phone) -> None:
    id = phone.record(ONE, TWO)

    assert phone.complete(id, {"size": len(ONE)}).code == "upload_mismatch"
    assert phone.complete_live(id, ONE + TWO).status == 200


def test_what_was_announced_and_not_recorded_is_given_back(
    phone: Phone, invariants: Invariants
) -> None:
    id = phone.record(ONE)
    phone.announce_pieces(id, len(ONE), TWO, THREE)

    assert phone.complete_live(id, ONE).status == 200
    assert phone.usage() == (len(ONE), 1)
    assert invariants.broken(phone.user_id) == []


def test_another_hash_than_was_said_loses_nothing(phone: Phone, held: Held) -> None:
    id = phone.record(ONE, TWO)

    assert phone.complete_live(id, ONE + TWO, sha256=sha256(SOUND)).code == "upload_mismatch"
    assert held("recordings", phone.user_id) == {}
    # It goes on as if nothing had been said.
    assert phone.send_pieces(id, len(ONE + TWO), THREE).status == 200
    assert phone.complete_live(id, SOUND, sha256=sha256(SOUND)).status == 200
    assert phone.download(id).content == SOUND


def test_a_piece_that_was_sent_wrong_is_sent_again(phone: Phone) -> None:
    id = phone.record(b"SOME ", TWO)
    assert phone.complete_live(id, ONE + TWO, sha256=sha256(ONE + TWO)).code == "upload_mismatch"

    phone.send_pieces(id, 0, ONE)

    assert phone.complete_live(id, ONE + TWO, sha256=sha256(ONE + TWO)).status == 200
    assert phone.download(id).content == ONE + TWO


def test_where_pieces_overlap_the_first_and_of_two_the_longer_wins(phone: Phone) -> None:
    id = phone.record()
    phone.announce_pieces(id, 0, b"0123456789")
    for offset, data in [(0, b"ab"), (0, b"ABCD"), (3, b"xyz"), (4, b"ef"), (5, b"GHIJK")]:
        phone.send_pieces(id, offset, data)

    assert phone.complete(id, {"size": 10}).status == 200
    assert phone.download(id).content == b"ABCDyzHIJK"


@pytest.mark.usefixtures("small_parts")
def test_small_pieces_pass_through_and_large_ones_are_copied(phone: Phone, faults: Faults) -> None:
    pieces = [b"abc", b"defg", b"hijklmn", b"op", b"qr", b"stuvwxyz", b"0"]
    id, whole = phone.record(*pieces), b"".join(pieces)
    calls = faults.calls_of(lambda: phone.complete_live(id, whole))

    assert calls.count("s3.UploadPartCopy") == 1
    assert calls.count("s3.UploadPart") == 3
    assert phone.download(id).content == whole


@pytest.mark.usefixtures("small_parts")
def test_some_of_a_large_piece_is_copied(phone: Phone) -> None:
    id = phone.record()
    phone.announce_pieces(id, 0, b"0123456789abcdef")
    phone.send_pieces(id, 0, b"ABCDEFG")
    phone.send_pieces(id, 3, b"defghijklmnop")

    assert phone.complete(id, {"size": 16}).status == 200
    assert phone.download(id).content == b"ABCDEFGhijklmnop"


# Long ones, which a job puts together.


@pytest.mark.usefixtures("long")
def test_a_long_recording_is_put_together_by_a_job(
    phone: Phone, tell: Callable[[], None], held: Held
) -> None:
    id = phone.record(ONE, TWO, THREE)
    accepted = phone.complete_live(id, SOUND, sha256=sha256(SOUND))

    assert (accepted.status, accepted.json["status"]) == (202, "uploading")
    assert int(accepted.headers["retry-after"]) > 0
    assert phone.complete_live(id, SOUND).status == 202
    assert phone.announce_pieces(id, len(SOUND), ONE).code == "not_ready"
    assert phone.resume(id).json["upload"]["offset"] == len(SOUND)
    tell()
    assert phone.complete_live(id, SOUND).status == 200
    assert phone.download(id).content == SOUND
    assert held("uploads", phone.user_id) == {}


@pytest.mark.usefixtures("long")
def test_a_job_that_finds_another_hash_has_the_app_told(
    phone: Phone, tell: Callable[[], None]
) -> None:
    id = phone.record(ONE, TWO)
    assert phone.complete_live(id, ONE + TWO, sha256=sha256(SOUND)).status == 202
    tell()

    assert phone.complete_live(id, ONE + TWO, sha256=sha256(SOUND)).code == "upload_mismatch"
    phone.send_pieces(id, len(ONE + TWO), THREE)
    assert phone.complete_live(id, SOUND, sha256=sha256(SOUND)).status == 202
    tell()
    assert phone.download(id).content == SOUND


@pytest.mark.usefixtures("long")
def test_each_end_has_a_job_of_its_own(
    phone: Phone, tell: Callable[[], None], held: Held, settings: Settings
) -> None:
    id = phone.record(b"SOME ", TWO)
    said = {"sha256": sha256(ONE + TWO)}
    phone.complete_live(id, ONE + TWO, **said)
    first = held("uploads", phone.user_id)
    tell()
    phone.send_pieces(id, 0, ONE)
    assert phone.complete_live(id, ONE + TWO, **said).code == "upload_mismatch"

    # It is as long as before, and S3 tells of nothing that is not written.
    assert phone.complete_live(id, ONE + TWO, **said).status == 202
    [last] = held("uploads", phone.user_id).keys() - first.keys()
    notice(f"{phone.user_id}/{last}", settings)
    assert phone.download(id).content == ONE + TWO


@pytest.mark.usefixtures("long")
def test_upkeep_has_a_job_that_was_lost_begin_again(
    phone: Phone, tell: Callable[[], None], clock: Clock, faults: Faults
) -> None:
    id = phone.record(ONE, TWO)
    phone.complete_live(id, ONE + TWO)

    clock.advance(minutes=21)
    asked = faults.asked("s3", "PutObject")
    assert wiring.services().upkeep.run().ended == 1
    # The last piece is there, and S3 tells of what is written over it.
    assert [put["Key"][-2:] for put in asked if "IfNoneMatch" not in put] == ["-0"]
    tell()

    assert phone.download(id).content == ONE + TWO


@pytest.mark.usefixtures("long", "small_parts")
def test_a_job_goes_on_where_another_was_cut_off(
    phone: Phone, tell: Callable[[], None], faults: Faults
) -> None:
    pieces = [b"abcdefgh", b"ijklmnop", b"qrstuvwx", b"yz"]
    id, whole = phone.record(*pieces), b"".join(pieces)
    phone.complete_live(id, whole)
    faults.refuse("s3", "UploadPart", "SlowDown", 503)
    with pytest.raises(Exception, match="SlowDown"):
        tell()
    faults.clear()
    calls = faults.calls_of(tell)

    assert "s3.UploadPartCopy" not in calls
    assert phone.download(id).content == whole


@pytest.mark.usefixtures("long", "small_parts")
def test_a_job_that_was_cut_off_before_a_piece_came_late_is_begun_anew(
    phone: Phone, tell: Callable[[], None], faults: Faults
) -> None:
    whole = b"abcdefghijklmnopqrstuvwx"
    id = phone.record(*(whole[at : at + 6] for at in range(0, len(whole), 6)))
    [late] = phone.announce_pieces(id, 0, whole[:7]).json["pieces"]
    phone.complete_live(id, whole)
    faults.refuse("s3", "CompleteMultipartUpload", "SlowDown", 503)
    with pytest.raises(Exception, match="SlowDown"):
        tell()
    faults.clear()
    # It has the other parts begin elsewhere, and the third is as long as before.
    send_piece(late, whole[:7])
    tell()

    assert phone.download(id).content == whole


@pytest.mark.parametrize("after", [0, 1])
def test_what_another_one_completed_meanwhile_is_ready(
    phone: Phone, faults: Faults, after: int
) -> None:
    id = phone.record(ONE, TWO)
    other = phone.on_another_device()
    faults.meanwhile("s3", "ListObjectsV2", lambda: other.complete_live(id, ONE + TWO), after)

    assert phone.complete_live(id, ONE + TWO).status == 200
    assert faults.met


@pytest.mark.parametrize("after", [0, 1])
def test_what_was_deleted_meanwhile_is_not_found(phone: Phone, faults: Faults, after: int) -> None:
    id = phone.record(ONE, TWO)
    other = phone.on_another_device()
    faults.meanwhile("s3", "ListObjectsV2", lambda: other.delete_for_good(id), after)

    assert phone.complete_live(id, ONE + TWO).status == 404
    assert faults.met


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("call", ["UploadPart", "CompleteMultipartUpload", "CopyObject"])
def test_two_that_put_it_together_at_once_end_in_one(
    phone: Phone, faults: Faults, held: Held, call: str, invariants: Invariants
) -> None:
    pieces = [b"abcdefgh", b"ij", b"klmnopqr", b"stu"]
    id, whole = phone.record(*pieces), b"".join(pieces)
    other = phone.on_another_device()
    faults.meanwhile("s3", call, lambda: other.complete_live(id, whole))

    assert phone.complete_live(id, whole).status == 200
    assert phone.download(id).content == whole
    assert held("recordings", phone.user_id) == {id: [whole]}
    assert invariants.broken(phone.user_id) == []


# Silence.


def test_what_arrived_before_its_app_fell_silent_is_a_recording(
    phone: Phone, fall_silent: Callable[[], None], invariants: Invariants
) -> None:
    id = phone.record()
    sent = phone.announce_pieces(id, 0, ONE, TWO, THREE, ONE).json["pieces"]
    send_piece(sent[0], ONE)
    send_piece(sent[2], THREE)
    fall_silent()

    seen = phone.seen(id)
    assert (seen["status"], seen["interrupted"], seen["size"]) == ("ready", True, 13)
    assert phone.download(id).content == ONE + THREE
    assert phone.usage() == (13, 1)
    assert invariants.broken(phone.user_id) == []
    assert phone.complete_live(id, SOUND).code == "upload_incomplete"
    assert phone.complete(id, {"size": 13}).json["interrupted"] is True
    changes = phone.get("/recordings/changes").json["changes"]
    assert [change.get("interrupted") for change in changes if change["id"] == id] == [True]
    assert [it["interrupted"] for it in phone.get("/recordings").json["recordings"]] == [True]


@pytest.mark.usefixtures("long")
def test_a_long_one_that_fell_silent_is_put_together_by_a_job(
    phone: Phone, fall_silent: Callable[[], None], tell: Callable[[], None]
) -> None:
    id = phone.record(ONE, TWO)
    fall_silent()
    assert phone.complete_live(id, SOUND).status == 202
    tell()

    assert phone.seen(id)["interrupted"] is True
    assert phone.download(id).content == ONE + TWO


@pytest.mark.usefixtures("long", "small_parts")
def test_what_arrives_after_its_end_is_left_out_and_removed(
    phone: Phone,
    fall_silent: Callable[[], None],
    settings: Settings,
    tell: Callable[[], None],
    held: Held,
) -> None:
    id = phone.record()
    sent = phone.announce_pieces(id, 0, ONE, TWO, THREE, ONE).json["pieces"]
    send_piece(sent[0], ONE)
    send_piece(sent[2], THREE)
    fall_silent()
    send_piece(sent[1], TWO)
    send_piece(sent[3], ONE)
    tell()
    send_piece(sent[3], ONE)
    [late] = held("uploads", phone.user_id)
    notice(f"{phone.user_id}/{late}", settings, hashlib.md5(ONE).hexdigest())  # noqa: S324

    assert phone.download(id).content == ONE + THREE
    assert held("uploads", phone.user_id) == {}


def test_an_arrival_ends_the_silence(
    phone: Phone, clock: Clock, monkeypatch: pytest.MonkeyPatch, fall_silent: Callable[[], None]
) -> None:
    id = phone.record()
    [piece] = phone.announce_pieces(id, 0, ONE).json["pieces"]
    clock.advance(hours=23)
    send_piece(piece, ONE)
    arrived = clock()
    original = wiring.services()._stores.pieces.arrived
    monkeypatch.setattr(
        type(wiring.services()._stores.pieces),
        "arrived",
        lambda _, it: [type(p)(p.offset, p.size, arrived) for p in original(it)],
    )
    clock.advance(hours=2)
    wiring.services().upkeep.run()

    assert phone.seen(id)["status"] == "uploading"
    fall_silent()
    assert phone.seen(id)["status"] == "ready"


def test_each_announcement_ends_the_silence(phone: Phone, clock: Clock) -> None:
    id = phone.record(ONE)
    for _ in range(3):
        clock.advance(hours=20)
        phone.announce_pieces(id, 0, ONE)
        wiring.services().upkeep.run()

    assert phone.seen(id)["status"] == "uploading"


@pytest.mark.parametrize("path", ["upload", "upload/parts/1"])
def test_asking_does_not_end_the_silence(phone: Phone, clock: Clock, path: str) -> None:
    id = phone.record(ONE)
    clock.advance(hours=20)
    phone.get(f"/recordings/{id}/{path}")
    clock.advance(hours=5)
    wiring.services().upkeep.run()

    assert phone.seen(id)["status"] == "ready"


def test_silence_is_as_long_as_it_is_set(
    phone: Phone, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(live_silence_seconds=60)
    id = phone.record(ONE)
    clock.advance(seconds=61)
    wiring.services().upkeep.run()

    assert phone.seen(id)["status"] == "ready"


def test_nothing_goes_on_for_longer_than_s3_keeps_its_beginning(phone: Phone, clock: Clock) -> None:
    id = phone.record(ONE)
    for _ in range(28):
        clock.advance(hours=23)
        phone.tokens = phone.log_in().json
        phone.announce_pieces(id, 0, ONE)
    ends = datetime.fromisoformat(phone.seen(id)["upload_expires_at"])

    assert ends - datetime.fromisoformat(phone.seen(id)["created_at"]) <= timedelta(days=28)


def test_what_nothing_arrived_of_expires_and_may_begin_again(
    phone: Phone, fall_silent: Callable[[], None], held: Held
) -> None:
    id = phone.record()
    [old] = phone.announce_pieces(id, 0, ONE).json["pieces"]
    fall_silent()

    assert phone.get(f"/recordings/{id}").status == 404
    assert phone.usage() == (0, 0)
    assert phone.announce_live(id=id).status == 201
    # A piece of the one that expired is none of this one.
    send_piece(old, ONE)
    phone.send_pieces(id, 0, TWO)
    assert phone.complete_live(id, TWO).status == 200
    assert phone.download(id).content == TWO
    assert held("uploads", phone.user_id) == {}


def test_what_s3_lost_meanwhile_is_left_out(
    phone: Phone, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    monkeypatch.setattr(live_uploads, "FEW_PIECES", 0)
    id = phone.record(ONE, TWO, THREE)
    phone.complete_live(id, SOUND)
    [lost] = [key for key in held("uploads", phone.user_id) if key.endswith("0000000005-7")]
    where: Any = {"Bucket": settings.uploads_bucket, "Key": f"{phone.user_id}/{lost}"}
    wiring.services().clients.s3.delete_object(**where)
    monkeypatch.setattr(live_uploads, "FEW_PIECES", 100)
    clock.advance(minutes=21)
    wiring.services().upkeep.run()

    assert phone.seen(id)["interrupted"] is True
    assert phone.download(id).content == ONE + THREE


# The end of it.


@pytest.mark.parametrize("ended", [False, True])
def test_deleting_a_live_upload_leaves_nothing(
    phone: Phone,
    monkeypatch: pytest.MonkeyPatch,
    clear_away: Callable[[], None],
    nothing_is_left: Callable[[Phone], bool],
    ended: bool,
) -> None:
    monkeypatch.setattr(live_uploads, "FEW_PIECES", 0)
    id = phone.record(ONE, TWO)
    if ended:
        phone.complete_live(id, ONE + TWO)

    assert phone.delete(f"/recordings/{id}").status == 204
    assert nothing_is_left(phone)
    clear_away()
    assert nothing_is_left(phone)


def test_a_piece_of_what_was_deleted_is_removed(
    phone: Phone, settings: Settings, held: Held, clear_away: Callable[[], None]
) -> None:
    id = phone.record()
    [piece] = phone.announce_pieces(id, 0, ONE).json["pieces"]
    phone.delete(f"/recordings/{id}")
    clear_away()
    send_piece(piece, ONE)
    [late] = held("uploads", phone.user_id)
    notice(f"{phone.user_id}/{late}", settings, hashlib.md5(ONE).hexdigest())  # noqa: S324

    assert held("uploads", phone.user_id) == {}


def test_the_event_of_a_piece_is_no_reason_to_do_anything(
    phone: Phone, settings: Settings, held: Held, faults: Faults
) -> None:
    id = phone.record(ONE)
    [key] = held("uploads", phone.user_id)
    calls = faults.calls_of(lambda: notice(f"{phone.user_id}/{key}", settings))

    assert calls == ["dynamodb.GetItem"]
    assert phone.seen(id)["status"] == "uploading"


def test_a_batch_has_live_ones_too(phone: Phone) -> None:
    live = {"file_name": "a.aac", "content_type": "audio/aac", "upload_method": "live"}
    put = {"file_name": "b.m4a", "content_type": "audio/mp4", "size": 5}
    begun = phone.post("/recordings/batch", {"recordings": [live, put]}).json["recordings"]

    assert [each["upload"]["method"] for each in begun] == ["live", "put"]


def test_those_of_a_batch_share_what_an_answer_can_say_is_missing(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_uploads, "PIECE_BYTES", 1)
    monkeypatch.setattr(live_uploads, "MOST_MISSING", 6)
    live = {"file_name": "a.aac", "content_type": "audio/aac", "upload_method": "live"}
    batch = {"recordings": [live | {"id": uuid7()} for _ in range(2)]}
    phone.post("/recordings/batch", batch)
    for each in batch["recordings"]:
        phone.announce_pieces(each["id"], 0, SOUND)
    again = phone.post("/recordings/batch", batch).json["recordings"]

    assert [len(each["upload"]["missing"]) for each in again] == [3, 3]
    assert len(phone.resume(batch["recordings"][0]["id"]).json["upload"]["missing"]) == 6


def test_the_audit_takes_pieces_for_what_they_are(
    phone: Phone, audit: Callable[[], Any], clock: Clock
) -> None:
    id = phone.record(ONE)
    for _ in range(2):
        clock.advance(hours=20)
        phone.announce_pieces(id, 0, ONE)

    assert audit().found == []


def test_the_audit_notes_pieces_that_wait_for_nobody(
    phone: Phone, audit: Callable[[], Any], clock: Clock, clients: Clients, settings: Settings
) -> None:
    key = f"{phone.user_id}/{uuid7()}/20261129000000000000/0000000000-5"
    clients.s3.put_object(Bucket=settings.uploads_bucket, Key=key, Body=ONE)
    clock.advance(days=2)

    assert audit().found == [("note", key)]
