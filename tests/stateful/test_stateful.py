"""Whatever happens to recordings, in whatever order: no invariant breaks, and no answer is wrong.

Two users with two devices each do what phones do; S3 tells of what arrived, late and repeatedly;
upkeep runs; time passes. After each step what there is, is held against a model. In the second test
calls to AWS fail, and other things happen between two of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, seed
from hypothesis import settings as Settings  # noqa: N812 - a class
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from chalicelib import wiring
from chalicelib.core.recordings import announcing
from chalicelib.settings import Settings as AppSettings
from tests.conftest import Clock
from tests.core.test_invariants import FAILURES
from tests.stateful.model import (
    ELSE,
    HUGE,
    PART_BYTES,
    PARTS,
    QUOTA_BYTES,
    SOME,
    Announcement,
    facts,
    in_feed,
)
from tests.stateful.sight import Observer
from tests.stateful.steps import (
    Announce,
    AnnounceAll,
    Close,
    Complete,
    Delete,
    Event,
    Receive,
    Restore,
    Resume,
    Revise,
    Send,
    Step,
    Upkeep,
    id_of,
)
from tests.stateful.trial import Failure, Interruption, Trial, Trouble
from tests.support.faults import Faults
from tests.support.phone import NO_TLS, Phone

USERS = st.sampled_from([0, 0, 0, 1])
DEVICES = st.integers(0, 1)
# Counted back from the newest.
NUMBERS = st.sampled_from([0, 0, 0, 1, 2])
IT: dict[str, Any] = {"user": 0, "device": 0, "number": 0}
ONE: dict[str, Any] = {"user": USERS, "device": DEVICES, "number": NUMBERS}
TOLD = st.sampled_from(
    [
        *(
            Announcement(sound, method, hashed)
            for sound in (SOME, ELSE)
            for method in ("put", "post", "multipart")
            for hashed in (False, True)
        ),
        Announcement(HUGE),
    ]
)
ORDERS = ["asc", "desc"]
VERSIONS = st.sampled_from(["", "seen", "old"])

ANNOUNCE = st.builds(Announce, **ONE, told=TOLD)
ANNOUNCE_ALL = st.builds(
    AnnounceAll,
    user=USERS,
    device=DEVICES,
    told=st.lists(
        st.tuples(NUMBERS, TOLD), min_size=1, max_size=3, unique_by=lambda one: one[0]
    ).map(tuple),
)
RECEIVE = st.builds(Receive, **ONE, sound=st.sampled_from([SOME, ELSE]))
RESUME = st.builds(Resume, **ONE)
COMPLETE = st.builds(Complete, **ONE, naming=st.sampled_from(["", "", "rightly", "wrongly"]))
REVISE = st.builds(Revise, **ONE, if_match=VERSIONS, notes=st.sampled_from(["some", "other", None]))
RESTORE = st.builds(Restore, **ONE, if_match=VERSIONS)
DELETE = st.builds(Delete, **ONE, permanent=st.booleans())
CLOSE = st.builds(Close, user=USERS, device=DEVICES)
SEND = st.builds(
    Send,
    user=USERS,
    number=NUMBERS,
    mistake=st.sampled_from(["", "", "another", "short", "type"]),
    part=st.sampled_from(PARTS),
    latest=st.booleans(),
)
EVENT = st.builds(Event, user=USERS, which=st.sampled_from([0, 0, 1, 2, 3]))
UPKEEP = st.builds(Upkeep, user=st.just(0))
ASKED = st.one_of(
    ANNOUNCE, ANNOUNCE_ALL, RECEIVE, RESUME, COMPLETE, COMPLETE, REVISE, RESTORE, DELETE
)
ANYTHING = st.one_of(ASKED, CLOSE, SEND, SEND, EVENT, UPKEEP)
# Whose turn trouble comes at: most steps take few calls.
CALLS = st.sampled_from([1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8])
TROUBLE = st.one_of(
    st.none(),
    st.builds(Failure, number=CALLS, how=st.sampled_from(sorted(FAILURES))),
    st.builds(
        Interruption,
        number=CALLS,
        others=st.lists(ANYTHING, min_size=1, max_size=2).map(tuple),
    ),
)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
# Past what is due: the last of the feed, tombstones, URLs, half an upload's life and all of it, the
# trash, sessions, cursors.
DURATIONS = st.sampled_from(
    [*(each * MINUTE for each in (1, 16, 61)), *(each * DAY for each in (4, 7, 30, 61, 91))]
)


@dataclass(frozen=True)
class New:
    """Something new: what it is, which parts of it were sent, what was done then, how long ago."""

    told: Announcement
    sent: tuple[int, ...]
    further: int
    """Nothing; or it was completed; or trashed, too."""
    wait: timedelta


NEW = st.builds(
    New,
    told=TOLD,
    sent=st.sampled_from([PARTS, PARTS, PARTS, (2,), ()]),
    further=st.sampled_from([0, 0, 1, 2]),
    wait=st.sampled_from([timedelta()] * 4 + [16 * MINUTE, 7 * DAY, 7 * DAY, 30 * DAY]),
)


class Recordings(RuleBasedStateMachine):
    """What two users' phones ask for, S3 tells of and time does."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial
        self.newest = 0
        self.user = 0
        self.skew = 0

    def take(self, step: Step, trouble: Trouble | None = None) -> None:
        if isinstance(trouble, Interruption):
            trouble = replace(trouble, others=tuple(map(self.placed, trouble.others)))
        self.trial.take(self.placed(step), trouble)

    def placed(self, step: Step) -> Step:
        """The step, counted from what is new: whose it is, and which of theirs."""
        return replace(step.placed(self.newest), user=(self.user + step.user) % 2)

    @rule(new=NEW, user=USERS)
    def record(self, new: New, user: int) -> None:
        """Something new is recorded, and comes some part of its way."""
        self.newest += 1
        self.user = (self.user + user) % 2
        sent = new.sent if new.told.method == "multipart" else new.sent[:1]
        steps: list[Step] = [
            Announce(**IT, told=new.told),
            *(Send(user=0, number=0, part=part) for part in sent),
            Complete(**IT),
            Delete(**IT),
        ]
        for step in steps[: 1 + len(sent) + new.further]:
            self.take(step)
        self.trial.clock.advance(seconds=new.wait.total_seconds())

    @rule(step=ASKED, new=st.none() | NEW, trouble=TROUBLE)
    def ask(self, step: Step, new: New | None, trouble: Trouble | None) -> None:
        if new:
            self.record(new, 0)
        self.take(step, trouble)

    @rule(step=EVENT | UPKEEP, new=st.none() | NEW, trouble=TROUBLE)
    def work(self, step: Step, new: New | None, trouble: Trouble | None) -> None:
        if new:
            self.record(new, 0)
        self.take(step, trouble)

    @rule(step=SEND)
    def send(self, step: Step) -> None:
        self.take(step)

    @precondition(lambda self: not self.trial.gone)
    @rule(step=CLOSE, trouble=TROUBLE)
    def close(self, step: Step, trouble: Trouble | None) -> None:
        self.take(step, trouble)

    @rule(looks=st.integers(0, 6))
    def keep_up_for_a_while(self, looks: int) -> None:
        self.trial.take_some(Upkeep(user=0, looks=looks))

    @rule(duration=DURATIONS, forgets=st.booleans())
    def wait(self, duration: timedelta, forgets: bool) -> None:
        self.trial.clock.advance(seconds=duration.total_seconds())
        if forgets:
            self.trial.forget()

    @rule(skew=st.sampled_from([-14, 0, 14]))
    def answer_elsewhere(self, skew: int) -> None:
        """Another Lambda answers from now on, whose clock is a bit off."""
        self.trial.clock.advance(seconds=skew - self.skew)
        self.skew = skew

    @rule(user=USERS, device=DEVICES, limit=st.integers(1, 4), order=st.sampled_from(ORDERS))
    def browse(self, user: int, device: int, limit: int, order: str) -> None:
        owner = self.trial.owners[(self.user + user) % 2]
        phone = owner.phone(device)
        for status in ("ready", "uploading", "trashed"):
            shelf = owner.library.on(status)
            listed = _walk(phone, status=status, limit=limit, order=order)
            assert [each["id"] for each in listed] == sorted(shelf, reverse=order == "desc")
            assert {each["id"]: facts(each) for each in listed} == shelf

    @rule(user=USERS, device=DEVICES, number=NUMBERS)
    def play(self, user: int, device: int, number: int) -> None:
        owner = self.trial.owners[(self.user + user) % 2]
        id = id_of(max(self.newest - number, 0))
        answer = owner.phone(device).get(f"/recordings/{id}")
        here = owner.library.recordings.get(id)
        if not (here and here.is_live):
            assert answer.code == "not_found"
            return
        assert facts(answer.json) == here.facts
        assert ("audio" in answer.json) == (here.status == "ready")
        if here.status == "ready" and here.plays:
            audio = httpx.get(answer.json["audio"]["url"], verify=NO_TLS)
            assert audio.content == here.plays.data

    @rule(user=USERS, device=DEVICES, limit=st.integers(1, 3), to_the_end=st.booleans())
    def follow(self, user: int, device: int, limit: int, to_the_end: bool) -> None:
        owner = self.trial.owners[(self.user + user) % 2]
        phone, mirror = owner.phone(device), owner.mirrors[device]
        mirror.turn_page(phone, limit)
        if to_the_end:
            while not mirror.is_up_to_date:
                mirror.turn_page(phone, limit)
            mirror.turn_page(phone, 100)
            everything = {id: in_feed(seen) for id, seen in owner.library.everything.items()}
            assert mirror.known == everything

    @rule(user=USERS, device=DEVICES)
    def export(self, user: int, device: int) -> None:
        owner = self.trial.owners[(self.user + user) % 2]
        phone = owner.phone(device)
        assert phone.usage() == owner.library.used
        exported = httpx.get(phone.export().json["url"], verify=NO_TLS).json()
        assert exported["profile"]["id"] == owner.library.user_id
        recordings = {each["id"]: facts(each) for each in exported["recordings"]}
        assert recordings == owner.library.everything

    def teardown(self) -> None:
        # Not after a failure, which it would hide.
        if sys.exc_info()[0] is None:
            self.trial.reckon()


def _walk(phone: Phone, **query: object) -> list[dict[str, Any]]:
    """A shelf, page by page."""
    listed: list[dict[str, Any]] = []
    while query.get("after", "first"):
        page = phone.get("/recordings", query=query).json
        listed += page["recordings"]
        query["after"] = page["next"]
    return listed


@pytest.fixture(autouse=True)
def _small(configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes fill a quota, and are sent in parts."""
    configure(quota_bytes=QUOTA_BYTES)
    monkeypatch.setattr(announcing, "part_size", lambda _: PART_BYTES)
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 1)


@pytest.fixture
def begin(
    clock: Clock, faults: Faults, settings: AppSettings, forget: Callable[[], None]
) -> Callable[[], Trial]:
    """Begins an example, with nothing left of the one before."""

    def begin() -> Trial:
        faults.clear()
        forget()
        clock.stop(wiring.now())
        return Trial(clock, faults, Observer(settings))

    return begin


# Of the examples after its tenth, Hypothesis makes five out of six by copying parts of another.
# Many short runs see more.
EXAMPLES = Settings(max_examples=10, stateful_step_count=20, suppress_health_check=[*HealthCheck])
IS_DEEP = Settings.get_current_profile_name() != "same"


@pytest.mark.parametrize("run", range(400 if IS_DEEP else 8))
def test_whatever_happens_every_answer_is_right_and_every_invariant_holds(
    begin: Callable[[], Trial], run: int
) -> None:
    def machine() -> Recordings:
        return Recordings(begin())

    if not IS_DEEP:
        machine = seed(run)(machine)
    run_state_machine_as_test(machine, settings=EXAMPLES)  # type: ignore[arg-type]
