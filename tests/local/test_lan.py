"""Phones on the same network reach `make run`, and are shown where."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from local import lan
from tests.support.server import eventually, free_port, running


def test_the_machine_knows_its_own_address_or_that_it_has_none() -> None:
    address = lan.address()
    if address:
        with socket.create_server((address, 0)):
            assert not address.startswith("127.")


def test_a_machine_on_no_network_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan, "ELSEWHERE", ("127.0.0.1", 9))
    assert lan.address() is None
    monkeypatch.setattr(lan, "ELSEWHERE", ("255.255.255.255", 9))
    assert lan.address() is None


def test_a_qr_code_is_a_square_of_half_blocks() -> None:
    lines = re.sub(r"\x1b\[[0-9;]*m", "", lan.qr_code("http://192.168.1.20:8000")).splitlines()
    widths = {len(line) for line in lines}
    # A line is two rows.
    assert len(widths) == 1
    assert abs(2 * len(lines) - widths.pop()) <= 1


@pytest.mark.skipif(not lan.address(), reason="this machine is on no network")
def test_phones_are_shown_the_machines_address(tmp_path: Path) -> None:
    port = free_port()
    with running(
        "make", "run", f"PORT={port}", "PHONE=1", log=tmp_path / "log", port=port
    ) as server:
        url = f"http://{lan.address()}:{port}"
        assert eventually(lambda: lan.qr_code(url) in server.printed())
        announced = {"file_name": "a.m4a", "content_type": "audio/mp4", "size": 5}
        upload = server.sign_up().ask("POST", "/recordings", json=announced).json()["upload"]

    assert upload["url"].startswith(f"http://{lan.address()}:")
