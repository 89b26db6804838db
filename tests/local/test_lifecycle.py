"""The embedded S3 removes by itself what S3 does, by the template's rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.embedded.disk import Disk
from local.embedded.environment import REGION
from local.embedded.template import resources


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.close()


@pytest.fixture
def s3(disk: Disk) -> Iterator[Any]:
    # Not before the environment leads nowhere: ministack reads it.
    from local.embedded.s3 import S3

    s3 = S3("secret", disk, lambda _: None)
    for name in ("UploadsBucket", "RecordingsBucket"):
        s3.make_bucket(resources(REGION)[name])
    yield s3
    s3.forget()


def buckets() -> list[str]:
    return [resources(REGION)[name]["BucketName"] for name in ("UploadsBucket", "RecordingsBucket")]


def in_days(days: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=days, minutes=1)


def test_exports_go_after_a_day_and_uploads_after_their_time(s3: Any) -> None:
    from local.embedded.engine import s3 as engine

    uploads, _ = buckets()
    objects = engine._buckets[uploads]["objects"]
    for key in ("exports/user/all", "user/sound"):
        engine._put_object(uploads, key, b"x", {})

    s3.expire(in_days(0))
    assert len(objects) == 2
    s3.expire(in_days(1))
    assert list(objects) == ["user/sound"]
    s3.expire(in_days(29))
    assert not objects


def test_parts_that_nobody_completes_go_with_their_bytes(s3: Any, disk: Disk) -> None:
    from local.embedded.engine import s3 as engine

    uploads, _ = buckets()
    engine._dispatch("POST", uploads, "user/sound", {}, b"", {"uploads": [""]})
    [upload_id] = engine._multipart_uploads
    part = {"uploadId": [upload_id], "partNumber": ["1"]}
    engine._dispatch("PUT", uploads, "user/sound", {}, b"a part", part)
    s3.expire(in_days(28))
    assert len(list(disk.rows("object"))) == 1
    s3.expire(in_days(29))
    assert not engine._multipart_uploads
    assert list(disk.rows("object")) == []


def test_a_version_goes_a_month_after_another_took_its_place(s3: Any) -> None:
    from local.embedded.engine import s3 as engine

    _, recordings = buckets()
    for data in (b"first", b"second"):
        engine._put_object(recordings, "user/sound", data, {})
    versions = engine._object_versions[recordings, "user/sound"]

    s3.expire(in_days(29))
    assert len(versions) == 2
    s3.expire(in_days(31))
    assert [version["size"] for version in versions] == [len(b"second")]
