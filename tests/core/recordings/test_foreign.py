"""S3s that do not keep what S3 promises: what they lack is noticed, or not relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.s3.foreign import copies_replace
from tests.support.faults import Faults
from tests.support.invariants import Held
from tests.support.phone import Phone, send

SOUND = b"some sound"


@pytest.fixture
def forgets_conditions(clients: Clients) -> Iterator[None]:
    """An S3 that ignores If-None-Match of CopyObject, in a process that begins."""
    copies_replace.cache_clear()

    def drop(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    events = clients.s3.meta.events
    events.register_first("before-sign.s3.CopyObject", drop)
    yield
    events.unregister("before-sign.s3.CopyObject", drop)
    copies_replace.cache_clear()


@pytest.mark.usefixtures("forgets_conditions")
def test_an_s3_that_copies_over_what_is_there_is_refused_at_the_first_promotion(
    phone: Phone, faults: Faults, held: Held, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    id = phone.deliver(SOUND)
    lines()

    assert phone.complete(id).code == "internal_error"
    assert "s3.PutObject" not in faults.calls_of(lambda: phone.complete(id))  # It is known by now.
    assert "ignores If-None-Match of CopyObject" in lines()[-1]["error"]
    assert held("recordings", phone.user_id) == held("uploads", "probes") == {}
    assert held("uploads", phone.user_id) == {id: [SOUND]}


def test_whether_an_s3_serves_is_asked_once(phone: Phone, faults: Faults) -> None:
    copies_replace.cache_clear()
    first, second = phone.deliver(SOUND), phone.deliver(SOUND)

    assert faults.calls_of(lambda: phone.complete(first)).count("s3.CopyObject") == 3
    assert faults.calls_of(lambda: phone.complete(second)).count("s3.CopyObject") == 1


@pytest.mark.emulator  # Its form is not as it was signed, which moto alone takes.
def test_a_hash_that_nobody_computed_is_not_published(phone: Phone, clients: Clients) -> None:
    begun = phone.announce(SOUND, upload_method="post", sha256="0" * 64).json
    # S3 would refuse these bytes; this store looks at no hash, and says none of its copy.
    begun["upload"]["fields"] = {
        name: value
        for name, value in begun["upload"]["fields"].items()
        if not name.startswith("x-amz-checksum")
    }
    send(begun["upload"], SOUND)

    def forget(parsed: dict[str, Any], **_: Any) -> None:
        parsed.get("CopyObjectResult", {}).pop("ChecksumSHA256", None)

    events = clients.s3_copying.meta.events
    events.register_first("after-call.s3.CopyObject", forget)
    ready = phone.complete(begun["recording"]["id"])
    events.unregister("after-call.s3.CopyObject", forget)

    assert ready.status == 200
    assert "sha256" not in ready.json
