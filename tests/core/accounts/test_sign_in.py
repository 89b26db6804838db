"""Signing in with Google and Apple: whose account it is, and what each rule of that prevents."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from chalicelib.aws.clients import Clients
from chalicelib.aws.dynamodb.items import Item, account_key, provider_key
from chalicelib.models.fields import Provider as Name
from ops import users as operators
from tests.conftest import DEEP, Clock, Left
from tests.support import audits
from tests.support.faults import Faults
from tests.support.federation import Federation
from tests.support.invariants import Held
from tests.support.mail import delivered_to, link_for, token_in
from tests.support.phone import NO_TLS, PASSWORD, Phone

Stored = Callable[..., list[Item]]
SOUND = b"some sound"
NOBODY = "01a1b2c3-0000-7000-8000-000000000000"


def identities(stored: Stored) -> list[str]:
    return sorted(item["pk"] for item in stored() if item["sk"] == "IDENTITY")


def confirmed(phone: Phone) -> Phone:
    """The same, whose user has opened the link that was mailed."""
    (mail,) = delivered_to(phone.email)
    assert phone.post("/auth/email/confirm", {"token": token_in(mail)}).status == 204
    return phone


def ways(phone: Phone) -> list[str]:
    return list(phone.get("/me").json["sign_in"])


@pytest.fixture
def users(
    capsys: pytest.CaptureFixture[str], clients: Clients, clock: Clock
) -> Callable[[str, str], dict[str, Any]]:
    """Acts on a user, as operators do."""

    def act(action: str, who: str) -> dict[str, Any]:
        capsys.readouterr()
        assert operators.main([action, who], clients, clock) == operators.DONE
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return act


# Whose account it is


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
    assert delivered_to("ann@gmail.com") == []


def test_the_session_is_one_like_any_other(federation: Federation) -> None:
    answer = federation.sign_in("apple", {"device": "Ann's iPhone"}, sub="ann")
    phone = Phone()
    phone.tokens = answer.json

    (session,) = phone.get("/me/sessions").json["sessions"]
    assert (session["device"], session["current"]) == ("Ann's iPhone", True)
    assert phone.refresh().status == 200
    assert phone.upload(SOUND) in phone.listed()


def test_the_subject_tells_who_it_is_whatever_becomes_of_the_address(
    federation: Federation,
) -> None:
    ann = federation.phone("google", sub="ann", email="ann@gmail.com")
    moved = federation.phone("google", sub="ann", email="anna@gmail.com")
    silent = federation.phone("google", sub="ann", email=None, email_verified=None)
    odd = federation.phone("google", sub="ann", email="nonsense")

    assert ann.user_id == moved.user_id == silent.user_id == odd.user_id
    assert moved.get("/me").json["email"] == "ann@gmail.com"


def test_a_subject_is_one_providers_own(federation: Federation) -> None:
    google = federation.phone("google", sub="1234", email="ann@gmail.com")
    apple = federation.phone("apple", sub="1234", email="bob@gmail.com")

    assert google.user_id != apple.user_id


def test_a_name_is_the_apps_or_the_tokens_and_need_not_be_one(federation: Federation) -> None:
    given = federation.sign_in("apple", {"name": "Ann"}, name="Somebody")
    odd = federation.sign_in("google", name="a\nb" * 100)
    none = federation.sign_in("google", name=["Ann"])
    # What apps make of a name that Apple does not tell again.
    blank = federation.sign_in("apple", {"name": " "})
    broken = federation.sign_in("apple", {"name": "Ann\n" + "x" * 200})

    names = [each.json["user"]["name"] for each in (given, odd, none, blank, broken)]
    assert names == ["Ann", ("a b" * 100)[:100], None, None, f"Ann {'x' * 96}"]


def test_a_private_relay_address_is_an_address(federation: Federation) -> None:
    email = "q7h2k9x4@privaterelay.appleid.com"
    answer = federation.sign_in(
        "apple", email=email, email_verified="true", is_private_email="true"
    )

    assert answer.json["user"]["email"] == email


@pytest.mark.parametrize("email", ["ann@gmail.com", "ann@example.com"])
@pytest.mark.parametrize("number", range(3))
def test_a_first_sign_in_that_another_overtakes_is_to_the_same_account(
    federation: Federation, faults: Faults, email: str, number: int
) -> None:
    # Before each of the reads by which it finds that there is no account, and before it opens one.
    call = ["GetItem", "GetItem", "TransactWriteItems"][number]
    after = {0: 1, 1: 2, 2: 0}[number]
    faults.meanwhile(
        "dynamodb",
        call,
        lambda: federation.sign_in("google", sub="ann", email=email),
        after=after,
    )

    assert federation.sign_in("google", sub="ann", email=email).status == 200
    assert faults.met == 1


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.deep)])
def test_first_sign_ins_of_one_person_at_the_same_moment_make_one_account(
    federation: Federation, stored: Stored, count: int
) -> None:
    tokens = [federation.token("google", sub="ann", email="ann@gmail.com") for _ in range(count)]

    def sign_in(token: str) -> Any:
        return Phone().post("/auth/google", {"id_token": token})

    with ThreadPoolExecutor(count if DEEP else 20) as threads:
        answers = list(threads.map(sign_in, tokens))

    assert sorted(answer.status for answer in answers) == [200] * (count - 1) + [201]
    assert len({answer.json["user"]["id"] for answer in answers}) == 1
    assert len([item for item in stored() if item["sk"] == "PROFILE"]) == 1
    assert identities(stored) == ["EMAIL#ann@gmail.com", "GOOGLE#ann"]


def test_what_fails_on_the_way_is_done_whole_when_it_is_repeated(
    federation: Federation, faults: Faults, stored: Stored
) -> None:
    for nonce, fail in (("a", faults.refuse), ("b", faults.lose_the_answer)):
        body = {"id_token": federation.token("google", sub="ann", nonce=nonce), "nonce": nonce}
        fail("dynamodb", "TransactWriteItems", times=1)
        assert Phone().post("/auth/google", body).status == 503
        faults.clear()
        # Whether the nonce was used, the app cannot tell: it asks for another token.
        fresh = federation.token("google", sub="ann", nonce=f"another {nonce}")
        assert Phone().post("/auth/google", {"id_token": fresh}).status in {200, 201}

    assert len([item for item in stored() if item["sk"] == "PROFILE"]) == 1


# An address that somebody has already


@pytest.mark.parametrize(
    ("by", "claims"),
    [
        ("apple", {"email": "ann@example.com"}),
        ("google", {"email": "ann@example.com", "hd": "example.com"}),
        ("google", {"email": "ANN@GMail.com"}),
    ],
)
def test_where_the_provider_is_the_authority_it_is_the_same_person(
    federation: Federation, nobody: Phone, by: Name, claims: dict[str, str]
) -> None:
    nobody.email = claims["email"].lower()
    ann = confirmed(nobody.sign_up())
    kept = ann.upload(SOUND)

    signed_in = federation.phone(by, sub="ann", **claims)

    assert signed_in.user_id == ann.user_id
    assert kept in signed_in.listed()
    assert ways(ann) == ["password", by]
    assert ann.log_in().status == 200
    assert [mail["subject"] for mail in delivered_to(ann.email)][-1] == f"{by.title()} was added"


def test_anywhere_else_it_is_for_the_user_to_say(
    federation: Federation, nobody: Phone, stored: Stored
) -> None:
    # Google verified an address at Yahoo when the account was made, which may be years ago.
    nobody.email = "ann@yahoo.com"
    ann = confirmed(nobody.sign_up())
    before = identities(stored)

    answer = federation.sign_in("google", sub="mallory", email="ann@yahoo.com")

    assert (answer.status, answer.code) == (409, "email_taken")
    assert (ways(ann), identities(stored)) == (["password"], before)


@pytest.mark.parametrize("email", ["ann@gmail.com.example.com", "ann@notgmail.com"])
def test_what_only_looks_like_gmail_is_not(
    federation: Federation, nobody: Phone, email: str
) -> None:
    nobody.email = email
    confirmed(nobody.sign_up())

    assert federation.sign_in("google", email=email).code == "email_taken"
    assert federation.sign_in("google", email=email, hd="").code == "email_taken"


def test_an_address_that_changed_hands_at_the_provider_gives_nothing_of_who_had_it(
    federation: Federation,
) -> None:
    # A company gives the address of somebody who left to somebody new.
    before = federation.phone("google", sub="ann b.", email="ann@example.com", hd="example.com")
    kept = before.upload(SOUND)

    answer = federation.sign_in("google", sub="ann c.", email="ann@example.com", hd="example.com")

    assert (answer.status, answer.code) == (409, "email_taken")
    assert before.listed() == [kept]


def hijacked(federation: Federation) -> Phone:
    """An account that somebody opened beforehand with another's address, with all they could."""
    mallory = Phone()
    mallory.email = "victim@gmail.com"
    mallory.sign_up()
    body = {"id_token": federation.token("google", sub="mallory"), "password": PASSWORD}
    assert mallory.post("/me/sign-in/google", body).status == 204
    body = {"id_token": federation.token("apple", sub="mallory"), "password": PASSWORD}
    assert mallory.post("/me/sign-in/apple", body).status == 204
    body = {"email": "mallory@example.com", "password": PASSWORD}
    assert mallory.post("/me/email", body).status == 202
    return mallory


@pytest.mark.parametrize("by", ["google", "apple"])
def test_who_opened_an_account_with_anothers_address_has_nothing_of_it_once_they_come(
    federation: Federation, held: Held, stored: Stored, by: Name
) -> None:
    mallory = hijacked(federation)
    tablet = mallory.on_another_device()
    assert mallory.export().status == 200
    shared = mallory.post(f"/recordings/{mallory.upload(SOUND)}/links", {}).json["code"]
    reset = link_for(mallory)
    # What was mailed for the address of theirs, which they can read.
    change = token_in(delivered_to("mallory@example.com")[-1])

    victim = federation.phone(by, sub="victim", email="victim@gmail.com", name="Vic")

    assert victim.user_id == mallory.user_id
    assert (ways(victim), victim.get("/me").json["name"]) == ([by], "Vic")
    assert mallory.get("/me").code == tablet.refresh().code == "not_authenticated"
    assert mallory.log_in().code == "invalid_credentials"
    for each in ("google", "apple"):
        theirs = federation.phone(each, sub="mallory", email="mallory@example.org")
        assert theirs.user_id != victim.user_id
        theirs.delete("/me", body={"id_token": federation.token(each, sub="mallory")})
    for path, more in (
        ("password/reset", {"new_password": "mallory's own"}),
        ("email/confirm", {}),
    ):
        for token in (reset, change):
            refused = Phone().post(f"/auth/{path}", {"token": token} | more)
            assert refused.code == "invalid_request"
    assert held("uploads", f"exports/{victim.user_id}") == {}
    assert Phone().get(f"/s/{shared}", headers={"Accept": "application/json"}).status == 404
    assert victim.get("/me").json["email"] == "victim@gmail.com"
    assert f"{by.upper()}#victim" in identities(stored)


def test_a_sign_in_that_a_takeover_overtakes_is_into_nothing_of_the_owners(
    federation: Federation, faults: Faults
) -> None:
    mallory = hijacked(federation)
    taken: list[Phone] = []
    # It is known whose account theirs signs in to, which is not read yet.
    faults.meanwhile(
        "dynamodb",
        "GetItem",
        lambda: taken.append(federation.phone("apple", sub="victim", email=mallory.email)),
        after=2,
    )

    answer = federation.sign_in("google", sub="mallory", email="mallory@example.org")

    assert faults.met == 1
    assert taken[0].user_id == mallory.user_id
    assert answer.status == 201
    assert answer.json["user"]["id"] != mallory.user_id


@pytest.mark.parametrize(
    ("operation", "after"), [("GetItem", 2), ("GetItem", 3), ("TransactWriteItems", 0)]
)
def test_an_address_that_changes_meanwhile_joins_nobody_to_who_had_it(
    federation: Federation, nobody: Phone, faults: Faults, operation: str, after: int
) -> None:
    nobody.email = "ann@gmail.com"
    ann = confirmed(nobody.sign_up())
    body = {"email": "ann@example.org", "password": PASSWORD}
    assert ann.post("/me/email", body).status == 202
    token = token_in(delivered_to("ann@example.org")[-1])
    faults.meanwhile(
        "dynamodb",
        operation,
        lambda: Phone().post("/auth/email/confirm", {"token": token}),
        after=after,
    )

    somebody = federation.phone("google", sub="somebody", email="ann@gmail.com")

    assert faults.met == 1
    assert somebody.user_id != ann.user_id
    assert ways(ann) == ["password"]


def test_a_change_of_address_that_a_takeover_overtakes_is_not_asked_for(
    federation: Federation, faults: Faults
) -> None:
    mallory = Phone()
    mallory.email = "victim@gmail.com"
    mallory.sign_up()
    ask = {"email": "mallory@example.com", "password": PASSWORD}
    # Once the proof was good, and before that is noted.
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: federation.sign_in("google", sub="victim", email=mallory.email),
        after=2,
    )

    refused = mallory.post("/me/email", ask)

    assert faults.met == 1
    assert refused.status == 503
    assert mallory.post("/me/email", ask).code == "not_authenticated"
    assert delivered_to("mallory@example.com") == []


def test_a_takeover_that_meets_the_confirmation_adds_instead(
    federation: Federation, nobody: Phone, faults: Faults
) -> None:
    nobody.email = "ann@gmail.com"
    ann = nobody.sign_up()
    (mail,) = delivered_to(ann.email)
    token = token_in(mail)
    faults.meanwhile(
        "dynamodb", "TransactWriteItems", lambda: ann.post("/auth/email/confirm", {"token": token})
    )

    assert federation.phone("google", email=ann.email).user_id == ann.user_id
    assert faults.met == 1
    assert ways(ann) == ["password", "google"]


def test_who_is_suspended_signs_in_by_no_way(
    federation: Federation, stored: Stored, users: Callable[..., Any]
) -> None:
    ann = federation.phone("google", sub="ann", email="ann@gmail.com")
    users("suspend", ann.user_id)

    assert federation.sign_in("google", sub="ann").code == "not_authenticated"
    assert federation.sign_in("apple", email="ann@gmail.com").code == "not_authenticated"
    assert identities(stored) == ["EMAIL#ann@gmail.com", "GOOGLE#ann"]
    users("lift", ann.user_id)
    assert federation.sign_in("google", sub="ann").status == 200


# Adding and removing


def add(phone: Phone, by: Name, token: str, **proof: object) -> Any:
    return phone.post(f"/me/sign-in/{by}", {"id_token": token} | (proof or {"password": PASSWORD}))


def test_a_way_is_added_with_the_password_and_signs_in(
    federation: Federation, phone: Phone
) -> None:
    token = federation.token("google", sub="ann", email="ann@yahoo.com")

    assert [add(phone, "google", token).status for _ in range(2)] == [204, 204]

    assert ways(phone) == ["password", "google"]
    assert federation.phone("google", sub="ann").user_id == phone.user_id
    subjects = [mail["subject"] for mail in delivered_to(phone.email)]
    assert subjects == ["Confirm your address", "Google was added"]


def test_a_stolen_access_token_adds_no_way(
    federation: Federation, phone: Phone, stored: Stored
) -> None:
    token = federation.token("google", sub="mallory")
    other = federation.token("apple", sub="mallory")

    wrong = add(phone, "google", token, password="wrong password")
    anybodys = add(phone, "google", token, proof_id_token=other)
    its_own = add(phone, "google", token, proof_id_token=token)
    endless = add(phone, "google", token, proof_id_token="x" * 16_385)
    nothing = add(phone, "google", "x" * 16_385)
    neither = phone.post("/me/sign-in/google", {"id_token": token})
    both = add(phone, "google", token, password=PASSWORD, proof_id_token=other)

    assert [each.status for each in (wrong, anybodys, its_own, endless, nothing)] == [401] * 5
    assert (neither.fields, both.fields) == (["password"], ["proof_id_token"])
    assert ways(phone) == ["password"]
    assert [name for name in identities(stored) if "mallory" in name] == []


def test_an_account_without_a_password_adds_a_way_with_one_that_it_has(
    federation: Federation,
) -> None:
    ann = federation.phone("google", sub="ann")
    proof = federation.token("google", sub="ann", nonce="its own")

    assert (
        add(ann, "apple", federation.token("apple", sub="ann"), proof_id_token=proof).status == 204
    )
    assert ways(ann) == ["google", "apple"]
    assert federation.phone("apple", sub="ann").user_id == ann.user_id


def test_an_identity_of_another_account_is_not_added(federation: Federation, phone: Phone) -> None:
    ann = federation.phone("google", sub="ann")

    answer = add(phone, "google", federation.token("google", sub="ann"))

    assert (answer.status, answer.code) == (409, "email_taken")
    assert (ways(phone), ways(ann)) == (["password"], ["google"])


def test_another_identity_of_the_same_provider_takes_the_place_of_the_first(
    federation: Federation, phone: Phone, stored: Stored
) -> None:
    add(phone, "google", federation.token("google", sub="first"))
    add(phone, "google", federation.token("google", sub="second"))

    assert federation.phone("google", sub="second").user_id == phone.user_id
    assert "GOOGLE#first" not in identities(stored)
    assert federation.sign_in("google", sub="first").status == 201


def test_a_way_with_the_address_of_the_account_confirms_it_where_it_may(
    federation: Federation, nobody: Phone
) -> None:
    nobody.email = "ann@gmail.com"
    ann = nobody.sign_up()
    add(ann, "google", federation.token("google", email="ann@gmail.com"))

    assert ann.get("/me").json["email_confirmed"]


def test_a_way_with_another_address_confirms_nothing(federation: Federation, phone: Phone) -> None:
    add(phone, "google", federation.token("google", email="mallory@gmail.com"))
    add(phone, "apple", federation.token("apple", email="mallory@gmail.com"))

    assert not phone.get("/me").json["email_confirmed"]


def test_a_way_that_is_removed_signs_in_no_more_and_no_session_ends(
    federation: Federation, phone: Phone, stored: Stored
) -> None:
    add(phone, "google", federation.token("google", sub="ann"))
    tablet = federation.phone("google", sub="ann")

    assert [phone.delete("/me/sign-in/google").status for _ in range(2)] == [204, 204]

    assert (ways(phone), tablet.get("/me").status) == (["password"], 200)
    assert identities(stored) == [f"EMAIL#{phone.email}"]
    assert federation.phone("google", sub="ann").user_id != phone.user_id
    assert delivered_to(phone.email)[-1]["subject"] == "Google was removed"


def test_a_password_that_is_removed_logs_in_no_more(federation: Federation, phone: Phone) -> None:
    add(phone, "apple", federation.token("apple", sub="ann"))

    assert phone.delete("/me/sign-in/password").status == 204

    assert (ways(phone), phone.log_in().code) == (["apple"], "invalid_credentials")
    assert phone.get("/me").status == 200
    assert delivered_to(phone.email)[-1]["subject"] == "Your password was removed"


def test_the_last_way_stays(federation: Federation, phone: Phone) -> None:
    ann = federation.phone("google", sub="ann")

    for who, way in ((phone, "password"), (ann, "google")):
        answer = who.delete(f"/me/sign-in/{way}")
        assert (answer.status, answer.code) == (409, "last_sign_in")
        assert who.delete("/me/sign-in/apple").status == 204  # It has none.
        assert ways(who) == [way]


def test_a_way_that_is_not_offered_any_more_is_none_that_is_left(
    federation: Federation, phone: Phone, configure: Callable[..., None]
) -> None:
    add(phone, "google", federation.token("google", sub="ann"))
    configure(google_client_ids=None)

    assert ways(phone) == ["password"]
    assert phone.delete("/me/sign-in/password").code == "last_sign_in"
    assert phone.delete("/me/sign-in/google").status == 204


def test_of_the_last_two_removed_at_the_same_moment_one_stays(
    federation: Federation, phone: Phone, faults: Faults
) -> None:
    add(phone, "google", federation.token("google", sub="ann"))
    faults.meanwhile("dynamodb", "TransactWriteItems", lambda: phone.delete("/me/sign-in/password"))

    assert phone.delete("/me/sign-in/google").code == "last_sign_in"
    assert faults.met == 1
    assert ways(phone) == ["google"]


def test_a_log_in_that_the_removal_of_the_password_overtakes_brings_no_password_back(
    federation: Federation, phone: Phone, faults: Faults, configure: Callable[..., None]
) -> None:
    add(phone, "google", federation.token("google", sub="ann"))
    url = f"{federation.provider.url}/google/keys"
    configure(
        google_keys_url=url,
        bcrypt_cost=5,
        login_failures_per_address=0,
        login_failures_per_source=0,
    )
    faults.meanwhile("dynamodb", "UpdateItem", lambda: phone.delete("/me/sign-in/password"))

    phone.log_in()

    assert faults.met == 1
    assert ways(phone) == ["google"]


# Accounts without a password


def test_a_log_in_at_an_account_without_a_password_is_like_any_wrong_one(
    federation: Federation, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bcrypt

    ann = federation.phone("google", sub="ann")
    costs: list[bytes] = []
    check = bcrypt.checkpw

    def watched(password: bytes, hashed: bytes) -> bool:
        costs.append(hashed[:7])
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    answers = [ann.log_in(), phone.log_in(password="wrong password")]
    answers.append(Phone().post("/auth/login", {"email": "x@example.com", "password": PASSWORD}))

    kinds = {
        (a.status, *(v for n, v in a.json.items() if n != "request_id"))
        for a in map(_plain, answers)
    }
    assert len(kinds) == 1
    assert costs == [b"$2b$04$"] * 3


def _plain(answer: Any) -> Any:
    """An answer whose members can be compared."""
    fields = {name: json.dumps(value) for name, value in answer.json.items()}
    return type(answer)(answer.status, {}, json.dumps(fields))


def test_there_is_no_password_to_change_and_a_mailed_link_sets_the_first(
    federation: Federation,
) -> None:
    ann = federation.phone("google", sub="ann")
    body = {"current_password": "any at all", "new_password": "quite another one"}

    refused = ann.post("/me/password", body)
    assert (refused.status, refused.code) == (409, "not_ready")

    assert ann.post("/auth/password/forgot", {"email": ann.email}).status == 202
    (mail,) = delivered_to(ann.email)
    assert "Google signs in to this account too" in mail["text"]
    reset = {"token": token_in(mail), "new_password": "quite another one"}
    assert ann.post("/auth/password/reset", reset).status == 204

    assert ann.get("/me").code == "not_authenticated"
    ann.tokens = ann.log_in(password="quite another one").json
    assert ways(ann) == ["password", "google"]


def test_a_reset_at_an_address_that_was_never_confirmed_leaves_no_other_way(
    federation: Federation,
) -> None:
    mallory = hijacked(federation)
    victim = Phone()
    link = link_for(mallory)
    assert "signs in to this account too" not in delivered_to(mallory.email)[-1]["text"]

    reset = {"token": link, "new_password": "the victim's own"}
    assert victim.post("/auth/password/reset", reset).status == 204

    assert federation.phone("google", sub="mallory").user_id != mallory.user_id
    victim.email = mallory.email
    victim.tokens = victim.log_in(password="the victim's own").json
    assert ways(victim) == ["password"]
    assert victim.get("/me").json["email"] == "victim@gmail.com"


WANTS_PROOF: dict[str, Callable[[Phone, dict[str, object]], Any]] = {
    "export": lambda phone, proof: phone.post("/me/export", proof),
    "change of address": lambda phone, proof: phone.post(
        "/me/email", {"email": "new@example.com"} | proof
    ),
    "deletion": lambda phone, proof: phone.delete("/me", body=proof),
}


@pytest.mark.parametrize("what", WANTS_PROOF)
def test_an_account_without_a_password_proves_it_by_a_fresh_id_token(
    federation: Federation, clock: Clock, what: str
) -> None:
    ask = WANTS_PROOF[what]
    ann = federation.phone("google", sub="ann")
    old = federation.token("google", sub="ann")
    clock.advance(seconds=601)

    somebodys = federation.token("google", sub="bob")
    by_another = federation.token("apple", sub="ann")
    for proof in (
        *({"password": PASSWORD}, {"id_token": old}, {"id_token": somebodys}),
        *({"id_token": by_another}, {"id_token": "garbage"}),
        *({"id_token": ""}, {"id_token": "x" * 16_385}),
    ):
        answer = ask(ann, {**proof})
        assert (answer.status, answer.code) == (401, "invalid_credentials"), proof.keys()
    assert ask(ann, {}).fields == ["password"]
    assert ask(ann, {"password": "x", "id_token": "y"}).fields == ["id_token"]

    fresh = federation.token("google", sub="ann", email_verified=False)
    assert ask(ann, {"id_token": fresh}).status in {200, 202, 204}


def test_a_proof_with_a_nonce_is_good_for_one_thing_which_can_be_repeated(
    federation: Federation,
) -> None:
    ann = federation.phone("google", sub="ann")
    proof: dict[str, object] = {"id_token": federation.token("google", sub="ann", nonce="n")}

    assert [ann.post("/me/export", proof).status for _ in range(2)] == [200, 200]

    assert ann.delete("/me", body=proof).code == "invalid_credentials"
    assert Phone().post("/auth/google", proof).code == "invalid_credentials"


def test_a_proof_with_a_nonce_adds_one_identity_and_no_other(federation: Federation) -> None:
    ann = federation.phone("google", sub="ann")
    proof = federation.token("google", sub="ann", nonce="n")

    added = [
        add(ann, "apple", federation.token("apple", sub=sub), proof_id_token=proof).status
        for sub in ("ann", "ann", "mallory")
    ]

    assert added == [204, 204, 401]
    assert federation.phone("apple", sub="ann").user_id == ann.user_id


def test_a_proof_with_a_nonce_changes_to_one_address_and_no_other(federation: Federation) -> None:
    ann = federation.phone("google", sub="ann")
    proof = federation.token("google", sub="ann", nonce="n")

    asked = [
        ann.post("/me/email", {"email": email, "id_token": proof}).status
        for email in ("ann@example.org", "Ann@Example.org", "mallory@example.org")
    ]

    assert asked == [202, 202, 401]
    assert delivered_to("mallory@example.org") == []


def test_a_token_that_signed_in_is_no_proof_once_its_nonce_was_used(
    federation: Federation,
) -> None:
    token = federation.token("google", sub="ann", nonce="n")
    ann = Phone()
    ann.tokens = ann.post("/auth/google", {"id_token": token, "nonce": "n"}).json

    assert ann.delete("/me", body={"id_token": token}).code == "invalid_credentials"


def test_an_account_with_a_password_may_prove_it_by_another_way_of_its_own(
    federation: Federation, phone: Phone
) -> None:
    add(phone, "google", federation.token("google", sub="ann"))

    proof = {"id_token": federation.token("google", sub="ann")}
    assert phone.post("/me/export", proof).status == 200


# The end of an account


def test_identities_go_with_the_account(
    federation: Federation, left: Left, clear_away: Callable[[], None], stored: Stored
) -> None:
    ann = federation.phone("google", sub="ann", email="ann@gmail.com")
    proof = federation.token("google", sub="ann")
    add(ann, "apple", federation.token("apple", sub="ann"), proof_id_token=proof)

    assert ann.delete("/me", body={"id_token": proof}).status == 204

    assert identities(stored) == []
    (profile,) = [
        item for item in stored(account_key(ann.user_id)["pk"]) if item["sk"] == "PROFILE"
    ]
    assert {"google", "apple", "new_email"}.isdisjoint(profile)
    clear_away()
    assert left(ann) == []
    assert federation.phone("google", sub="ann", email="ann@gmail.com").user_id != ann.user_id


def test_an_identity_that_is_added_as_the_account_closes_is_not_left_behind(
    federation: Federation, phone: Phone, faults: Faults, stored: Stored
) -> None:
    faults.meanwhile(
        "dynamodb",
        "TransactWriteItems",
        lambda: add(phone, "google", federation.token("google", sub="ann")),
    )

    assert phone.delete("/me", body={"password": PASSWORD}).status == 204
    assert faults.met == 1
    assert identities(stored) == []


def test_identities_stand_in_the_export(federation: Federation, phone: Phone) -> None:
    add(phone, "apple", federation.token("apple", sub="ann", email="ann@icloud.com"))

    file = httpx.get(phone.export().json["url"], verify=NO_TLS).json()

    (identity,) = file["identities"].items()
    assert identity[0] == "apple"
    assert (identity[1]["subject"], identity[1]["email"]) == ("ann", "ann@icloud.com")
    assert file["profile"]["sign_in"] == ["password", "apple"]


def test_apps_are_told_by_whom_people_may_sign_in(
    nobody: Phone, configure: Callable[..., None]
) -> None:
    assert nobody.get("/config").json["sign_in"] == [
        {"provider": "google", "client_ids": ["recorder.ios", "recorder.web"]},
        {"provider": "apple", "client_ids": ["com.example.recorder"]},
    ]
    configure(google_client_ids=None, apple_client_ids=None)
    assert nobody.get("/config").json["sign_in"] == []


def test_operators_see_how_somebody_signs_in(
    federation: Federation, users: Callable[..., Any]
) -> None:
    ann = federation.phone("google", sub="ann")

    assert users("find", ann.user_id)["sign_in"] == ["google"]


# What an audit finds of it.


@pytest.fixture
def ann(federation: Federation) -> Phone:
    """Somebody whom Google signs in."""
    ann = federation.phone("google", sub="ann")
    ann.upload(SOUND)
    return ann


def test_an_audit_finds_nothing_wrong_with_who_signs_in(
    federation: Federation, ann: Phone, audit: audits.Run
) -> None:
    gone = federation.phone("apple", sub="bob")
    gone.delete("/me", body={"id_token": federation.token("apple", sub="bob")})

    assert ann.get("/me").status == 200
    assert audit().found == []


def test_an_audit_finds_who_signs_in_to_an_account_that_does_not_know_of_it(
    ann: Phone, phone: Phone, audit: audits.Run, tool: audits.Tool
) -> None:
    tool.alter(provider_key("google", "mallory"), user_id=ann.user_id)
    tool.alter(provider_key("apple", "mallory"), user_id=phone.user_id)
    tool.alter(provider_key("apple", "nobody"), user_id=NOBODY)

    found = sorted(audit().found)
    assert found == sorted(("I5", each) for each in (ann.user_id, phone.user_id, NOBODY))


def test_an_audit_finds_who_does_not_sign_in_to_their_account(
    ann: Phone, phone: Phone, audit: audits.Run, tool: audits.Tool
) -> None:
    tool.remove(provider_key("google", "ann"))
    assert audit().found == [("I5", ann.user_id)]

    tool.alter(provider_key("google", "ann"), user_id=phone.user_id)
    audited = audit()
    assert {key for _, key in audited.found} == {ann.user_id, phone.user_id}
    assert ann.email not in audited.text


def test_an_audit_says_nothing_of_what_changes_while_it_looks(
    federation: Federation, ann: Phone, audit: audits.Run, faults: Faults
) -> None:
    token = federation.token("google", sub="ann")
    # After the scan has read the account, it goes.
    faults.meanwhile("dynamodb", "GetItem", lambda: ann.delete("/me", body={"id_token": token}))

    assert audit().found == []
    assert faults.met == 1
