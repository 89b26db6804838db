"""Whether each thing that a function may do is needed: it is taken away, and somebody notices."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

from chalicelib.core.ids import uuid7
from tests.deployed import libraries
from tests.deployed.jobs import UPLOADS, Deployed, Silent
from tests.deployed.main_job import (
    MAIN_JOB,
    PARTS_BYTES,
    SOUND,
    Job,
    every_binary_type_comes_through_as_the_bytes_it_is,
    it_is_quick,
    what_is_long_is_put_together_by_a_job,
)
from tests.deployed.people import Person, hashed, noise, waited
from tests.deployed.providers import live_a_life_with_apple
from tests.deployed.stages import FUNCTIONS, SILENCE_SECONDS
from tests.deployed.steps import Failed, say

# What Lambda itself does in a function's name, and the emulator does without asking.
OF_LAMBDA_ITSELF = ("logs:", "xray:", "sqs:")
# What a process asks for once, and goes by for minutes.
READ_ONCE = "secretsmanager:"
# What takes long, and no right of its own.
LONG = {every_binary_type_comes_through_as_the_bytes_it_is, it_is_quick}
# Pieces that a job puts together, since nobody waits for so many.
MORE_THAN_AT_ONCE = 101
# What a job takes at most, on a machine that may have much else to do.
JOB_SECONDS = 15
FAR_AWAY = "2999-01-01T00:00:00.000000Z"


class Grant(NamedTuple):
    """One thing that a function may do."""

    function: str
    action: str
    resource: str

    @property
    def is_unseen(self) -> bool:
        """Whether nobody is known to notice it."""
        return any(
            (function, action) == (self.function, self.action) and part in self.resource
            for function, action, part in UNSEEN
        )

    def __str__(self) -> str:
        return f"{self.function}: {self.action} on {self.resource.rpartition(':')[2]}"


# What nobody notices here: function, action, and a part of what it is on.
UNSEEN = {
    # S3 says 403 of what is not there to whoever may not list; ministack says 404 to anybody.
    *((function, "s3:ListBucket", "-recordings-") for function in FUNCTIONS),
    # When a job was cut off before: tests/support/faults.py has every call fail, and
    # tests/ops/test_policies.py holds the policies to what is called then.
    ("notice", "s3:AbortMultipartUpload", "-uploads-"),
    ("notice", "s3:ListMultipartUploadParts", "-uploads-"),
    # When a later listener hears nothing where an earlier one did.
    ("listen", "dynamodb:DeleteItem", ""),
    # Where the domain is what SES has verified, and not the address.
    ("deliver_mail", "ses:SendEmail", "identity/example.com"),
}


def take_away_each(on: Deployed) -> list[str]:
    """Take each grant away in turn; those of which nobody noticed anything."""
    say("\nWith every grant")
    Silences.begin(on)
    for function, use in USES.items():
        began, faults = time.monotonic(), len(on.stage.faults())
        use(on)
        said = on.stage.faults()[faults:]
        if said:
            raise Failed(f"{function} says that something went wrong: {said}")
        say(f"  {time.monotonic() - began:5.1f} s  {function}")
    say("\nEvery grant, taken away in turn")
    unnoticed = []
    for function, use in USES.items():
        whole = on.stage.policy(function)
        for grant, without in _each(function, whole):
            on.stage.set_policy(function, without)
            if grant.action.startswith(READ_ONCE):
                on.stage.restart()
            began = time.monotonic()
            try:
                noticed = _noticed(on, use)
            finally:
                on.stage.set_policy(function, whole)
            say(f"  {time.monotonic() - began:5.1f} s  {grant}: {noticed or 'NOT NOTICED'}")
            if not noticed and not grant.is_unseen:
                unnoticed.append(f"nobody noticed that it was taken away: {grant}")
    return unnoticed


def _each(function: str, policy: Any) -> Iterator[tuple[Grant, Any]]:
    """Each grant, and the policy without it."""
    for at, statement in enumerate(policy["Statement"]):
        for action in statement["Action"]:
            if action.startswith(OF_LAMBDA_ITSELF):
                continue
            without = copy.deepcopy(policy)
            without["Statement"][at]["Action"].remove(action)
            if not without["Statement"][at]["Action"]:
                del without["Statement"][at]
            yield Grant(function, action, statement["Resource"]), without


def _noticed(on: Deployed, use: Use) -> str:
    """What went wrong, in short; nothing if nothing did."""
    before = len(on.stage.faults())
    try:
        use(on)
    except Exception as error:
        if ": 429 " in str(error):
            raise  # It was refused for something else.
        return f"{type(error).__name__} {str(error)[:60]!r}"
    faults = on.stage.faults()[before:]
    return "said in its log" if faults else ""


def _use_the_api(on: Deployed) -> None:
    job = Job(on.api)
    for step in MAIN_JOB.steps:
        if step not in LONG:
            step(job)
    me = Person(on.api)
    libraries.send_small(on, me)


def _have_uploads_noticed(on: Deployed) -> None:
    me = Person(on.api)
    for method, size in (("put", 1000), ("multipart", PARTS_BYTES)):
        data = noise(size)
        begun = me.announce(data, method)
        id, upload = begun["recording"]["id"], begun["upload"]
        me.send(upload, data)
        if method == "put":
            waited(lambda id=id: me.seen(id)["status"] == "ready", JOB_SECONDS)  # type: ignore[misc]
            me.send(upload, data)
            waited(lambda: not on.keys(UPLOADS, me), JOB_SECONDS)
    what_is_long_is_put_together_by_a_job(Job(on.api))
    _end_as_something_else(me)


def _end_as_something_else(me: Person) -> None:
    """Have the job find that what it put together is not what its app says."""
    id, many = me.begin_live(), [b"x"] * MORE_THAN_AT_ONCE
    for start in range(0, len(many), 50):
        told = me.add_pieces(id, start, many[start : start + 50])
        for piece in told["pieces"]:
            me.send_piece(piece, b"x")
    path, end = f"/recordings/{id}/complete", {"size": len(many), "sha256": hashed(b"y")}
    me.ask("POST", path, 202, json=end)
    answers = iter(lambda: me.api.ask("POST", path, 0, json=end, headers=me.header), None)
    waited(lambda: next(answers).status_code == HTTPStatus.CONFLICT, JOB_SECONDS)


class Silences:
    """Recordings whose apps fell silent, one for each time that upkeep is used."""

    person: Person
    waiting: list[Silent]

    @classmethod
    def begin(cls, on: Deployed) -> None:
        """Have enough of them, of which none is due before it is made so."""
        cls.person = Person(on.api)
        uses = 1 + len([*_each("upkeep", on.stage.policy("upkeep"))])
        cls.waiting = [Silent(cls.person) for _ in range(uses)]
        on.let_time_pass(cls.person, until=FAR_AWAY)
        time.sleep(SILENCE_SECONDS)


def _have_upkeep_run(on: Deployed) -> None:
    me, closed, unheard = (Person(on.api) for _ in range(3))
    expiring = [me.announce(noise(1000))["recording"]["id"]]
    begun = me.announce(data := noise(PARTS_BYTES), "multipart")
    part = begun["upload"]["parts"][0]
    on.api.fetch("PUT", part["url"], content=data[: part["size"]])
    expiring.append(begun["recording"]["id"])
    trashed = me.upload_directly(noise(1000), "audio/mp4")["id"]
    me.ask("DELETE", f"/recordings/{trashed}", 204)
    me.ask("POST", "/me/export", json={"password": me.password})
    closed.upload_directly(noise(1000), "audio/mp4")
    closed.close()
    with on.without_events("listen"):
        id = unheard.upload_directly(SOUND, "audio/webm")["id"]
    silent = Silences.waiting.pop()
    # It has been a while.
    silent.person.tokens = silent.person.log_in()
    on.let_time_pass(silent.person, only=silent.id)
    on.let_time_pass(unheard)
    for _ in range(3):
        on.let_time_pass(me)
        on.let_time_pass(closed)
        assert on.invoke("upkeep", {})["failed"] == 0
    assert on.statuses(me) == {"deleted"}
    assert on.statuses(closed) == set()
    assert silent.person.seen(silent.id)["status"] == "ready"
    waited(lambda: "sound" in unheard.seen(id), JOB_SECONDS)


def _have_sound_listened_to(on: Deployed) -> None:
    me = Person(on.api)
    for data in (SOUND, noise(1000)):
        id = me.upload_directly(data, "audio/webm")["id"]
        waited(lambda id=id: "sound" in me.seen(id), JOB_SECONDS)  # type: ignore[misc]


def _have_mail_delivered(on: Deployed) -> None:
    me = Person(on.api)
    on.mailed(me, "/auth/email/confirm")
    live_a_life_with_apple(on, uuid7())


Use = Callable[[Deployed], None]
USES: dict[str, Use] = {
    "api_handler": _use_the_api,
    "notice": _have_uploads_noticed,
    "listen": _have_sound_listened_to,
    "upkeep": _have_upkeep_run,
    "deliver_mail": _have_mail_delivered,
}
assert USES.keys() == FUNCTIONS.keys()
