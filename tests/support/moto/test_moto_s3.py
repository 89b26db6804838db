"""The embedded S3, where completions meet: as S3 itself is there, which moto alone is not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.clients import Clients
from chalicelib.settings import Settings
from tests.support.invariants import Held
from tests.support.phone import NO_TLS, Phone

pytestmark = pytest.mark.emulator

SOUND = b"some sound" * 600_000


def copy(onlookers: Clients, settings: Settings, **conditions: str) -> None:
    onlookers.s3.copy_object(
        Bucket=settings.recordings_bucket,
        Key="to",
        CopySource={"Bucket": settings.uploads_bucket, "Key": "from"},
        **conditions,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("condition", ["CopySourceIfMatch", "IfNoneMatch"])
def test_a_copy_whose_condition_does_not_hold_is_refused(
    onlookers: Clients, settings: Settings, condition: str
) -> None:
    onlookers.s3.put_object(Bucket=settings.uploads_bucket, Key="from", Body=b"x")
    onlookers.s3.put_object(Bucket=settings.recordings_bucket, Key="to", Body=b"y")
    value = {"CopySourceIfMatch": '"another"', "IfNoneMatch": "*"}[condition]

    with pytest.raises(ClientError, match="PreconditionFailed"):
        copy(onlookers, settings, **{condition: value})
    there = onlookers.s3.get_object(Bucket=settings.recordings_bucket, Key="to")
    assert there["Body"].read() == b"y"


@pytest.mark.parametrize("method", ["put", "multipart"])
def test_completions_at_the_same_moment_all_succeed_and_keep_one_version(
    phone: Phone, held: Held, method: str
) -> None:
    recording_id = phone.deliver(SOUND, upload_method=method)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: phone.complete(recording_id).status, range(8)))

    assert answers == [200] * 8
    assert held("recordings", phone.user_id) == {recording_id: [SOUND]}


def test_a_part_of_an_upload_that_was_rolled_back_is_not_taken(phone: Phone) -> None:
    begun = phone.announce(SOUND, upload_method="multipart").json
    phone.delete(f"/recordings/{begun['recording']['id']}")

    part = begun["upload"]["parts"][0]
    assert httpx.put(part["url"], content=SOUND, verify=NO_TLS).status_code == 404


def test_a_list_of_versions_copies_no_bytes(
    onlookers: Clients, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import FakeKey

    onlookers.s3.put_object(Bucket=settings.recordings_bucket, Key="one", Body=b"x")
    # What the standard library's copies ask of it, which reads its bytes.
    monkeypatch.setattr(FakeKey, "__getstate__", None)

    listed = onlookers.s3.list_object_versions(Bucket=settings.recordings_bucket)
    assert [version["Key"] for version in listed["Versions"]] == ["one"]
