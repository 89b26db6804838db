"""One account, and forty devices of its user that announce at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib import wiring
from chalicelib.aws.clients import Clients
from chalicelib.settings import Settings
from chalicelib.wiring import Services
from tests.conftest import Clock
from tests.engines.conflicts import making_conflicts
from tests.support import in_process
from tests.support.phone import Phone

WRITERS = 40


def test_forty_writers_on_one_account_all_get_through(
    phone: Phone,
    settings: Settings,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [endpoint] = {Clients(custom_s3=True).dynamodb.meta.endpoint_url}
    with in_process.over_http(), making_conflicts(endpoint) as proxy:
        where = f"http://127.0.0.1:{proxy.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", where)
        services = Services(settings, clock, Clients(custom_s3=True))
        monkeypatch.setattr(wiring, "_services", services)
        with ThreadPoolExecutor(WRITERS) as devices:
            answers = list(devices.map(lambda _: phone.announce(b"x"), range(WRITERS)))

    assert [answer.status for answer in answers] == [201] * WRITERS
    assert proxy.conflicts > WRITERS
    assert phone.usage() == (WRITERS, WRITERS)
