"""What the tests of recordings stand on."""

from __future__ import annotations

import pytest

from chalicelib.core.recordings import announcing

PART_BYTES = 8


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets what has few bytes be sent in parts, of 8 bytes but for the last."""
    monkeypatch.setattr(announcing, "part_size", lambda _: PART_BYTES)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)
