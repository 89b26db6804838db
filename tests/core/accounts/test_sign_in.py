"""Signing in with Google and Apple: whose account it is."""

from __future__ import annotations

from tests.support.federation import Federation


def test_a_first_sign_in_opens_an_account_and_the_next_is_to_the_same(
    federation: Federation,
) -> None:
    first = federation.sign_in("google", sub="ann", email="ann@gmail.com", name="Ann")
    again = federation.sign_in("google", sub="ann", email="ann@gmail.com")

    assert (first.status, again.status) == (201, 200)
    assert first.json["user"] == again.json["user"]
    user = first.json["user"]
    assert (user["email"], user["name"], user["sign_in"]) == ("ann@gmail.com", "Ann", ["google"])
    assert user["email_confirmed"]
