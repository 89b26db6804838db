"""What the tests of recordings stand on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.core.recordings import announcing
from chalicelib.settings import Settings
from tests.support import engines
from tests.support.phone import Phone

PutIn = Callable[..., None]

PART_BYTES = 8


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets what has few bytes be sent in parts, of PART_BYTES but for the last."""
    monkeypatch.setattr(announcing, "part_size", lambda _: PART_BYTES)
    engines.take_small_parts(monkeypatch)


@pytest.fixture
def put_in(clients: Clients, settings: Settings) -> PutIn:
    """Puts into the uploads bucket what S3 takes by no URL of ours, as a mistaken tool does."""

    def put(phone: Phone, id: str, data: bytes, content_type: str = "audio/mp4") -> None:
        clients.s3.put_object(
            Bucket=settings.uploads_bucket,
            Key=f"{phone.user_id}/{id}",
            Body=data,
            ContentType=content_type,
        )

    return put
