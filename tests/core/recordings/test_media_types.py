"""Media types: taken, compared and answered by what they are, in whatever spelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib.core.ids import uuid7
from chalicelib.models import media_types
from tests.core.recordings.conftest import PutIn
from tests.support.invariants import Held
from tests.support.phone import Phone
from tests.support.s3_rules import accepts

SOUND = b"some sound"
# What recorders say, and what each of it is.
SPELLINGS = {
    "audio/webm;codecs=opus": "audio/webm",
    "audio/mp4;codecs=mp4a.40.2": "audio/mp4",
    'audio/mp4; codecs="mp4a.40.2"': "audio/mp4",
    "audio/ogg ; codecs=opus ; rate=48000": "audio/ogg",
    "video/webm;codecs=vp8,opus": "video/webm",
    "Audio/MP4": "audio/mp4",
    "AUDIO/X-M4A": "audio/x-m4a",
    "audio/mp3": "audio/mp3",
    "audio/vnd.wave": "audio/vnd.wave",
    "audio/aacp": "audio/aacp",
    "video/mp4": "video/mp4",
    " audio/mp4\t": "audio/mp4",
    "audio/mp4;": "audio/mp4",
}
# What may be announced besides.
ANNOUNCED = {
    "video/3gpp": "video/3gpp",
    "video/3gpp2": "video/3gpp2",
    "Video/QuickTime": "video/quicktime",
    "application/ogg": "application/ogg",
    "audio/L16;rate=44100;channels=2": "audio/l16",
    "audio/vnd.dolby.dd-raw": "audio/vnd.dolby.dd-raw",
}


@pytest.mark.parametrize("spelt", [*SPELLINGS, *ANNOUNCED])
def test_a_type_is_announced_in_any_spelling_and_answered_bare(phone: Phone, spelt: str) -> None:
    begun = phone.announce(SOUND, content_type=spelt)

    bare = (SPELLINGS | ANNOUNCED)[spelt]
    assert (begun.status, begun.json["recording"]["content_type"]) == (201, bare)
    assert begun.json["upload"]["headers"]["Content-Type"] == bare
    assert accepts("PUT", begun.json["upload"]["url"], begun.json["upload"]["headers"])


@pytest.mark.parametrize("spelt", SPELLINGS)
def test_a_direct_upload_has_its_type_in_any_spelling(phone: Phone, spelt: str) -> None:
    id = uuid7()

    answer = phone.put_audio(id, SOUND, content_type=spelt)

    assert (answer.status, answer.json["content_type"]) == (201, SPELLINGS[spelt])
    assert phone.download(id).headers["content-type"] == SPELLINGS[spelt]


@pytest.mark.parametrize("spelt", ANNOUNCED)
def test_what_api_gateway_is_not_told_of_is_not_taken_directly(phone: Phone, spelt: str) -> None:
    answer = phone.put_audio(uuid7(), SOUND, content_type=spelt)

    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_the_same_type_in_another_spelling_is_the_same_announcement(
    phone: Phone, method: str
) -> None:
    id = phone.deliver(SOUND, id=uuid7(), content_type="audio/webm", upload_method=method)

    again = phone.announce(SOUND, id=id, content_type="Audio/WebM;codecs=opus")

    assert again.status == 200
    assert phone.complete(id).json["content_type"] == "audio/webm"


@pytest.fixture
def arrived_as(put_in: PutIn) -> Callable[[Phone, str], str]:
    """Has what was announced arrive as another type, as a store takes it that checks no header."""

    def send(phone: Phone, content_type: str) -> str:
        id = str(phone.announce(SOUND, content_type="audio/webm").json["recording"]["id"])
        put_in(phone, id, SOUND, content_type)
        return id

    return send


@pytest.mark.parametrize("spelt", ["audio/webm;codecs=opus", "AUDIO/WEBM", "audio/webm; x"])
def test_bytes_that_arrive_in_another_spelling_of_their_type_are_kept(
    phone: Phone, arrived_as: Callable[[Phone, str], str], spelt: str
) -> None:
    id = arrived_as(phone, spelt)

    assert phone.complete(id).status == 200
    played = phone.download(id)
    assert (played.content, played.headers["content-type"]) == (SOUND, "audio/webm")


def test_bytes_that_arrive_as_another_type_are_not_what_was_announced(
    phone: Phone, arrived_as: Callable[[Phone, str], str], held: Held
) -> None:
    id = arrived_as(phone, "audio/ogg")

    assert phone.complete(id).code == "upload_mismatch"
    assert held("recordings", phone.user_id) == {}


@pytest.mark.parametrize(
    "none",
    ["", "audio", "audio/", "/mp4", "audio/*", "audio/mp4, audio/ogg", "audio/mp4\n", "audio/a b"],
)
def test_what_is_no_media_type_is_none(none: str) -> None:
    assert media_types.bare(none) is None
    assert not media_types.same(none, none)
    assert not media_types.is_of_sound(none)
