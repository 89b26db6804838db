"""Whatever happens to recordings, in whatever order: no invariant breaks, and no answer is wrong.

A user's two phones do what phones do; S3 tells of what arrived, late and repeatedly; upkeep runs;
time passes; calls to AWS fail, and other things happen between two of them. After each step what
there is, is held against a model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, seed
from hypothesis import settings as Settings  # noqa: N812 - a class
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from chalicelib import wiring
from chalicelib.aws.dynamodb.items import Item, account_key
from chalicelib.aws.s3 import pieces
from chalicelib.core.recordings import announcing, live_uploads, slices
from chalicelib.settings import Settings as AppSettings
from tests.conftest import DEEP, Clock, Left
from tests.stateful.model import (
    ELSE,
    HUGE,
    PART_BYTES,
    QUOTA_BYTES,
    SHORT_BYTES,
    SOME,
    TIMES,
    Library,
    Told,
)
from tests.stateful.steps import MEANINGS, Step, World, begin, means
from tests.support import engines, shortcut
from tests.support.faults import DIED, LOST, REFUSED, Died, Faults
from tests.support.invariants import Invariants
from tests.support.phone import NO_TLS, PASSWORD, Phone

FAILURES = {"AWS refuses": REFUSED, "the answer is lost": LOST, "the process dies": DIED}
# What a request may be answered while AWS fails; None if the process died.
EXCUSES = {None, "500 internal_error", "503 unavailable", "put off"}
SESSION_LIFE = timedelta(days=60)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
# What has been put off is due again after this.
LONGEST_DELAY = 25 * 60 * MINUTE


@dataclass(frozen=True)
class New:
    """Something new: what it is, what was done with it (`sCt`: sent, completed, trashed), when."""

    told: Told
    done: str
    wait: timedelta


@dataclass(frozen=True)
class Trouble:
    """At a call to AWS something fails, and the step is taken again; or other steps are taken."""

    number: int
    fails: str = ""
    others: tuple[Step, ...] = ()


TOLD = st.sampled_from(
    [
        Told(data, method, hashed)
        for data in (SOME, ELSE)
        for method in ("put", "post", "multipart")
        for hashed in (False, True)
    ]
    + [Told(data, "live", hashed) for data in (SOME, HUGE, HUGE) for hashed in (False, True)] * 2
    + [Told(HUGE)]
)
STEP = st.builds(
    Step,
    # Completing is where most can go wrong.
    kind=st.sampled_from([*MEANINGS, "complete", "send"]),
    # Counted back from the newest.
    number=st.sampled_from([0, 0, 0, 1, 2]),
    device=st.integers(0, 1),
    told=TOLD,
    mistaken=st.sampled_from([False, False, False, True]),
    which=st.sampled_from([0, 0, 1, 2, 3]),
)
NEW = st.builds(
    New,
    TOLD,
    st.sampled_from(["", "s", "s", "s", "sc", "sc", "sct", "sct"]),
    st.sampled_from([*[0 * DAY] * 4, 16 * MINUTE, 7 * DAY, 7 * DAY, 30 * DAY]),
)
# Most steps take few calls; to put a live upload together takes fifteen and more.
CALLS = st.sampled_from([1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10, 12, 14])
TROUBLE = st.builds(Trouble, CALLS, fails=st.sampled_from(sorted(FAILURES))) | st.builds(
    Trouble, CALLS, others=st.lists(STEP, min_size=1, max_size=2).map(tuple)
)
# Past what is due: the last of the feed, tombstones, URLs, half an upload's life and all of it, the
# trash, sessions, cursors.
DURATIONS = st.sampled_from(
    [*(n * MINUTE for n in (1, 16, 61)), *(n * DAY for n in (4, 7, 30, 91))]
)

# Does to the model what may have happened; says what of it was answered otherwise.
Happened = Callable[[Library], str]


class Recordings(RuleBasedStateMachine):
    """What a user's phones ask for, S3 tells of and time does."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage, self.clock = stage, stage.clock
        first = Phone().sign_up()
        self.world = World([first, first.on_another_device()], self.clock, self._upload_id)
        self.library = Library(self.clock)
        self.newest = 0
        self.session_ends = self.clock() + SESSION_LIFE
        self.mirror: dict[str, tuple[int, str]] = {}
        self.cursor: str | None = None

    @rule(new=st.none() | NEW, step=STEP, trouble=st.none() | TROUBLE)
    def happen(self, new: New | None, step: Step, trouble: Trouble | None) -> None:
        if new:
            self.newest += 1
            self._take(Step("announce", self.newest, told=new.told))
            for what in new.done:
                if what == "s" and new.told.is_live:
                    self._take(Step("extend", self.newest))
                self._take(Step({"s": "send", "c": "complete", "t": "trash"}[what], self.newest))
            self.clock.advance(seconds=new.wait.total_seconds())
            self._log_in()
        self.clock.advance(milliseconds=1)
        step = self._placed(step)
        if trouble and trouble.fails:
            self._take_despite(step, trouble)
        elif trouble:
            self._take_among(step, [self._placed(other) for other in trouble.others], trouble)
        else:
            self._take(step)

    @rule(duration=DURATIONS, forgets=st.booleans())
    def wait(self, duration: timedelta, forgets: bool) -> None:
        self.clock.advance(seconds=duration.total_seconds())
        if forgets:
            for item in shortcut.forget(self.stage.settings.table, self.clock()):
                self.library.all.pop(item.get("id", ""), None)
        self._log_in()

    @rule(device=st.integers(0, 1), limit=st.integers(1, 4), number=st.integers(0, 2))
    def look(self, device: int, limit: int, number: int) -> None:
        """A phone shows all there is, and plays something."""
        phone = self.world.phones[device]
        for status in ("ready", "uploading", "trashed"):
            assert _walk(phone, status, limit) == self.library.on(status)
        assert phone.usage() == self.library.used
        id = self._placed(Step("", number)).id
        shown, here = phone.get(f"/recordings/{id}"), self.library.all.get(id)
        assert (shown.status == 200) == bool(here and here.is_live)
        if here and here.plays and here.status == "ready":
            assert httpx.get(shown.json["audio"]["url"], verify=NO_TLS).content == here.plays
        if here and here.is_live:
            self._look_at_links(phone, id)

    def _look_at_links(self, phone: Phone, id: str) -> None:
        good = self.library.opened(id)
        listed = phone.get(f"/recordings/{id}/links").json["links"]
        assert sorted(link["id"] for link in listed) == sorted(good)
        for link in self.library.all[id].links:
            if code := self.world.codes.get(link):
                opened = Phone().get(f"/s/{code}", headers={"Accept": "application/json"})
                assert opened.status == (200 if link in good else 404)

    @rule(limit=st.integers(1, 3))
    def follow(self, limit: int) -> None:
        """The other phone stays in step, by the feed alone."""
        more = True
        while more:
            query = {"limit": limit} | ({"since": self.cursor} if self.cursor else {})
            page = self.world.phones[1].get("/recordings/changes", query=query)
            if page.status == 410:
                self.mirror, self.cursor = {}, None
                continue
            for each in page.json["changes"]:
                assert self.mirror.get(each["id"], (0, ""))[0] <= each["version"]
                self.mirror[each["id"]] = each["version"], each["status"]
            self.cursor, more = page.json["cursor"], page.json["more"]
        known = {id: told for id, told in self.mirror.items() if told[1] != "deleted"}
        there = self.library.on("ready", "uploading", "trashed")
        assert known == {
            id: (it.version, it.status) for id, it in self.library.all.items() if id in there
        }

    def teardown(self) -> None:
        """Let all time pass, and look at what is left; then close the account."""
        if sys.exc_info()[0] is not None:
            return  # Which this would hide.
        phone, stage = self.world.phones[0], self.stage
        self.clock.advance(days=40)
        stage.run_down()
        # What was sent by a URL that outlived its recording: S3 tells of all of it some time.
        for arrival in self.world.arrivals:
            self.world.do(Step("notice", arrival=arrival))
        self.library.run_down()
        self._explain([[]])
        assert stage.invariants.broken_at_rest(phone.user_id) == []
        phone.tokens = phone.log_in().json
        assert phone.delete("/me", body={"password": PASSWORD}).status == 204
        self.clock.advance(minutes=16)
        stage.run_down()
        assert stage.left(phone) == []

    def _log_in(self) -> None:
        if self.clock() >= self.session_ends - LONGEST_DELAY:
            for phone in self.world.phones:
                phone.tokens = phone.log_in().json
            self.session_ends = self.clock() + SESSION_LIFE

    # How a step is taken.

    def _placed(self, step: Step) -> Step:
        """The step with its number counted from what is new."""
        return replace(step, number=max(self.newest - step.number, 0))

    def _do(self, step: Step) -> str | None:
        try:
            return self.world.do(step)
        except Died:
            return None

    def _take(self, step: Step) -> None:
        step = self.world.bind(step, self.library)
        self._explain([[_taken(step, self._do(step))]])

    def _take_despite(self, step: Step, trouble: Trouble) -> None:
        step = self.world.bind(step, self.library)
        self.stage.faults.fail_at(trouble.number, **FAILURES[trouble.fails])
        said = self._do(step)
        failed = self.stage.faults.met
        self.stage.faults.clear()
        assert said is not None or failed
        if step.kind == "keep up":
            self.clock.advance(seconds=LONGEST_DELAY.total_seconds())
            self._log_in()
        again = _taken(step, self._do(step))
        if failed and said in EXCUSES:
            self._explain([[again], [_taken(step, None), again], [_begun(step), again]])
        else:
            self._explain([[_taken(step, said), again]])

    def _take_among(self, step: Step, others: Sequence[Step], trouble: Trouble) -> None:
        step = self.world.bind(step, self.library)
        between: list[Happened] = []

        def happen() -> None:
            for other in others:
                # Of the same recording: those of two have nothing to do with each other.
                bound = self.world.bind(replace(other, number=step.number), self.library)
                between.append(_taken(bound, self._do(bound)))

        self.stage.faults.interrupt_at(trouble.number, happen)
        taken = _taken(step, self._do(step))
        self.stage.faults.clear()
        # The step may seem to have happened anywhere among them, or to have been begun before.
        places = range(len(between) + 1)
        self._explain(
            [[*between[:at], taken, *between[at:]] for at in places]
            + [
                [*between[:first], _begun(step, kept), *between[first:at], taken, *between[at:]]
                for at in places
                for first in range(at)
                for kept in (False, True)
            ]
        )

    def _explain(self, orders: list[list[Happened]]) -> None:
        """Go on from the first order that explains all that was answered and is there now."""
        there, wrong = {item["id"]: _facts(item) for item in self._items()}, []
        for order in orders:
            library = self.library.copy()
            answers = [error for happened in order if (error := happened(library))]
            if not answers and library.facts() == there:
                self.library = library
                break
            wrong.append(f"{answers} {_differences(library.facts(), there)}")
        else:
            raise AssertionError("no order explains this:\n" + "\n".join(wrong))
        broken = self.stage.invariants.broken(self.world.phones[0].user_id)
        assert broken == []

    def _items(self) -> list[Item]:
        key = account_key(self.world.phones[0].user_id)["pk"]
        return [item for item in self.stage.stored(key) if item["sk"].startswith("REC#")]

    def _upload_id(self, id: str) -> str | None:
        return {item["id"]: item.get("upload_id") for item in self._items()}.get(id)


def _walk(phone: Phone, status: str, limit: int) -> list[str]:
    """A shelf, page by page."""
    listed = page = phone.listed(status=status, limit=limit, order="asc")
    while len(page) == limit:
        page = phone.listed(status=status, limit=limit, order="asc", after=page[-1])
        listed = listed + page
    return listed


def _taken(step: Step, said: str | None) -> Happened:
    def happened(library: Library) -> str:
        expected = means(library, step, said)
        return "" if said == expected or None in {said, expected} else f"{step}: {said}, {expected}"

    return happened


def _begun(step: Step, kept: bool = False) -> Happened:
    def happened(library: Library) -> str:
        begin(library, step, kept=kept)
        return ""

    return happened


def _facts(item: Item) -> dict[str, Any]:
    names = {"status", "version", "notes", "sha256", "size"} & item.keys()
    facts = {name: item[name] for name in names}
    if item.get("expired"):
        facts["status"] = "expired"
    if until := item.get(TIMES.get(item["status"], "")):
        facts["until"] = datetime.fromisoformat(until)
    return facts


def _differences(expected: dict[str, Any], there: dict[str, Any]) -> str:
    ids = [id for id in expected | there if expected.get(id) != there.get(id)]
    return "; ".join(f"{id} is {there.get(id)}, not {expected.get(id)}" for id in ids)


@dataclass
class Stage:
    """What an example is played on: fixtures."""

    clock: Clock
    faults: Faults
    settings: AppSettings
    stored: Callable[..., list[Item]]
    invariants: Invariants
    left: Left
    run_down: Callable[[], None]
    forget: Callable[[], None]


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """One on which a few bytes fill a quota, and are sent in parts."""
    configure(quota_bytes=QUOTA_BYTES)
    monkeypatch.setattr(announcing, "part_size", lambda _: PART_BYTES)
    engines.take_small_parts(monkeypatch)
    monkeypatch.setattr(slices, "LEAST_PART", 5)
    monkeypatch.setattr(live_uploads, "FEW_BYTES", SHORT_BYTES)
    monkeypatch.setattr(pieces, "AT_ONCE", 1)
    return Stage(*(request.getfixturevalue(field.name) for field in fields(Stage)))


# Of the examples after its tenth, Hypothesis makes five out of six by copying parts of another.
# Many short runs see more.
EXAMPLES = Settings(max_examples=10, stateful_step_count=20, suppress_health_check=[*HealthCheck])
# `make deep ARGS=tests/stateful RUNS=1000` sees ten thousand lives of a library.
QUICK, ALL = 1, int(os.environ.get("RUNS") or (400 if DEEP else 20))


@pytest.mark.parametrize(
    "run", [*range(QUICK), *(pytest.param(n, marks=pytest.mark.deep) for n in range(QUICK, ALL))]
)
def test_whatever_happens_every_answer_is_right_and_every_invariant_holds(
    stage: Stage, run: int
) -> None:
    def machine() -> Recordings:
        stage.faults.clear()
        stage.forget()
        stage.clock.stop(wiring.now())
        return Recordings(stage)

    machine = machine if DEEP else seed(run)(machine)
    run_state_machine_as_test(machine, settings=EXAMPLES)  # type: ignore[arg-type]
