"""Listening, in tests: the job as S3's event starts it, and ears that hear without a process."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chalicelib import jobs, wiring
from chalicelib.core.recordings.listening import Listening
from chalicelib.models.answers import Sound
from chalicelib.models.entities import Heard, StoredObject, Waveform
from tests.conftest import LAMBDA
from tests.support.phone import Phone

SILENCE = Heard(sound=Sound(readable=False))
HEARD = Heard(
    sound=Sound(
        readable=True,
        duration_ms=1234,
        container="mp4",
        codec="aac",
        sample_rate_hz=44_100,
        channels=1,
    ),
    waveform=Waveform(sample_rate=44_100, samples_per_pixel=64, data=b"\xff\x01\x80\x7f"),
)


class Instantly(Struct, frozen=True):
    """An ear that hears the same in whatever it is given, and takes no time."""

    heard: Heard = HEARD

    def hear(self, url: str, kept: StoredObject, seconds: float) -> Heard:
        assert url.startswith("http")
        assert min(kept.size, seconds) > 1
        return self.heard


def event(phone: Phone, id: str) -> dict[str, Any]:
    """S3's event of a recording that was kept."""
    bucket = wiring.services().settings.recordings_bucket
    detail = {"bucket": {"name": bucket}, "object": {"key": f"{phone.user_id}/{id}"}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def listen(phone: Phone, id: str) -> None:
    """Run the job, as it is."""
    jobs.listen(event(phone, id), LAMBDA)


def listen_instantly(phone: Phone, id: str, heard: Heard = HEARD) -> None:
    """Do what the job does, with such an ear."""
    services = wiring.services()
    ear = Instantly(heard)
    Listening(services._stores, ear, services._clock, lambda _: None).listen(phone.user_id, id)
