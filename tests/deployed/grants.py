"""Whether each thing that a function may do is needed: it is taken away, and somebody notices."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.deployed.jobs import UPLOADS, Deployed
from tests.deployed.main_job import MAIN_JOB, PARTS_BYTES, Job
from tests.deployed.people import Person, noise, waited
from tests.deployed.stages import FUNCTIONS
from tests.deployed.steps import say

# What Lambda itself does in a function's name, and the emulator does without asking.
OF_LAMBDA_ITSELF = ("logs:", "xray:", "sqs:")


class Grant(NamedTuple):
    """One thing that a function may do."""

    function: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.function}: {self.action} on {self.resource.rpartition(':')[2]}"


# Needed when something failed half-way before, which nothing here does: tests/support/faults.py has
# every call fail, and tests/ops/test_policies.py holds the policies to what is called then.
ONLY_AFTER_A_FAULT: set[tuple[str, str, str]] = set()


def take_away_each(on: Deployed) -> list[str]:
    """Take each grant away in turn; those of which nobody noticed anything."""
    say("\nEvery grant, taken away in turn")
    unnoticed = []
    for function in FUNCTIONS:
        whole = on.stage.policy(function)
        for grant, without in _each(function, whole):
            on.stage.set_policy(function, without)
            began = time.monotonic()
            try:
                noticed = _noticed(on, function)
            finally:
                on.stage.set_policy(function, whole)
            say(f"  {time.monotonic() - began:5.1f} s  {grant}: {noticed or 'NOT NOTICED'}")
            if not noticed:
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


def _noticed(on: Deployed, function: str) -> str:
    """What went wrong, in short; nothing if nothing did."""
    before = len(on.stage.faults())
    try:
        USES[function](on)
    except Exception as error:
        if "429" in str(error):
            raise  # It was refused for something else.
        return f"{type(error).__name__} {str(error)[:60]!r}"
    faults = on.stage.faults()[before:]
    return "said in its log" if faults else ""


def _use_the_api(on: Deployed) -> None:
    job = Job(on.api)
    for step in MAIN_JOB.steps:
        step(job)


def _have_uploads_noticed(on: Deployed) -> None:
    me = Person(on.api)
    for method, size in (("put", 1000), ("multipart", PARTS_BYTES)):
        data = noise(size)
        begun = me.announce(data, method)
        id, upload = begun["recording"]["id"], begun["upload"]
        me.send(upload, data)
        if method == "put":
            waited(lambda id=id: me.seen(id)["status"] == "ready", 8)  # type: ignore[misc]
            me.send(upload, data)
            waited(lambda: not on.keys(UPLOADS, me), 8)


def _have_upkeep_run(on: Deployed) -> None:
    me, closed = Person(on.api), Person(on.api)
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
    for _ in range(3):
        on.let_time_pass(me)
        on.let_time_pass(closed)
        assert on.invoke("upkeep", {})["failed"] == 0
    assert on.statuses(me) == {"deleted"}
    assert on.statuses(closed) == set()


def _have_mail_delivered(on: Deployed) -> None:
    me = Person(on.api)
    on.mailed(me, "/auth/email/confirm")


USES: dict[str, Callable[[Deployed], None]] = {
    "api_handler": _use_the_api,
    "notice": _have_uploads_noticed,
    "upkeep": _have_upkeep_run,
    "deliver_mail": _have_mail_delivered,
}
