"""Takes the steps: performs each, predicts it, and holds what there is against what is to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from chalicelib.aws.dynamodb.items import account_key
from tests.conftest import Clock
from tests.core.test_invariants import FAILURES
from tests.stateful.model import PARTS, Library, Recording, Sound, facts
from tests.stateful.owners import Owner
from tests.stateful.sight import Observer, Sight
from tests.stateful.steps import Close, Complete, Event, Receive, Step, Upkeep
from tests.support.faults import Died, Faults

# What a request may be answered while AWS fails; None if the process died.
EXCUSES = {None, "500 internal_error", "503 unavailable", "put off"}
# What has been put off is due again after this.
LONGEST_DELAY_HOURS = 25

# A step and how it was answered, or one that was only begun.
Taken = tuple[Step, str | None]


@dataclass(frozen=True)
class Failure:
    """A call to AWS fails, and the step is taken again."""

    number: int
    how: str

    @property
    def error(self) -> BaseException:
        return FAILURES[self.how][0]

    @property
    def done(self) -> bool:
        return FAILURES[self.how][1]


@dataclass(frozen=True)
class Interruption:
    """Other steps are taken just before a call to AWS, of the same recording if it is of one."""

    number: int
    others: tuple[Step, ...]


Trouble = Failure | Interruption


class Trial:
    """Two users of the app, from when they sign up until all is gone."""

    def __init__(self, clock: Clock, faults: Faults, observer: Observer) -> None:
        self.clock = clock
        self.owners = [Owner(clock) for _ in range(2)]
        self._faults = faults
        self._observer = observer
        self.gone: list[str] = []
        """The ids of users whose accounts were closed."""
        self._untidy: set[str] = set()
        """The ids of recordings that S3 may not have let be tidied up after."""

    @property
    def libraries(self) -> list[Library]:
        return [owner.library for owner in self.owners]

    def take(self, step: Step, trouble: Trouble | None = None) -> None:
        """Take a step; unless there is trouble, nothing else happens, and AWS does its part."""
        self.clock.advance(milliseconds=1)
        if bound := step.bound(self.owners[step.user]):
            match trouble:
                case Failure():
                    self._take_despite(bound, trouble)
                case Interruption():
                    self._take_among(bound, trouble)
                case None:
                    self._take(bound)
            self._begin_again()

    def take_some(self, step: Step) -> None:
        """Take a step that may end before all of it is done."""
        before = [library.copy() for library in self.libraries]
        self._predict(step, self.libraries)
        step.perform(self.owners[step.user])
        for user in _users(step):
            self._adopt_each(user, [self.libraries[user], before[user]])

    def reckon(self) -> None:
        """Tell of all that arrived, let all time pass, and look at what is left."""
        for user, owner in enumerate(self.owners):
            for arrival in list(owner.untold):
                self._take(Event(user=user, arrival=arrival))
        self.clock.advance(days=40)
        self._take(Upkeep(user=0))
        for _ in range(10):
            if not any("due_at" in item for item in self._observer.items()):
                break
            self.clock.advance(hours=LONGEST_DELAY_HOURS)
            self._take(Upkeep(user=0))
        for user in range(2):
            sight = self._look(user).without_uploads(self._untidy)
            _none(sight.invariants.broken_at_rest(""))
        for user_id in self.gone:
            _none(self._observer.look(user_id).all)

    def forget(self) -> None:
        """Have DynamoDB remove what it was to keep until now."""
        past = self._observer.forget(self.clock())
        for library in self.libraries:
            for item in past:
                if item["pk"] == account_key(library.user_id)["pk"]:
                    library.recordings.pop(item.get("id", ""), None)

    # How a step is taken.

    def _take(self, step: Step) -> None:
        owner = self.owners[step.user]
        expected = self._predict(step, self.libraries)
        said, begun = step.perform(owner)
        assert self._is_right(said, expected), f"{step} is answered {said} and not {expected}"
        for user in _users(step):
            self._hold(self.libraries[user], self._look(user))
        for recording, upload in begun:
            _check(owner.library.recordings[recording["id"]], recording, upload)

    def _take_despite(self, step: Step, failure: Failure) -> None:
        before = [library.copy() for library in self.libraries]
        after, begun = ([library.copy() for library in before] for _ in range(2))
        expected = self._predict(step, after)
        step.begin(begun[step.user])
        self._faults.fail_at(failure.number, failure.error, done=failure.done)
        try:
            said = step.perform(self.owners[step.user]).said
        except Died:
            said = None
        failed = self._faults.met
        self._faults.clear()
        assert said == expected or expected is None or (failed and said in EXCUSES), said
        for user in _users(step):
            states = [after[user], before[user], begun[user]]
            if step.everybody:
                self._adopt_each(user, states)
            else:
                self._adopt(user, states, states[:1] if said == expected else states)
            if failed:
                self._untidy.update(self.libraries[user].on("ready").keys())
        if step.everybody:
            self.clock.advance(hours=LONGEST_DELAY_HOURS)
        self._take(step)

    def _take_among(self, step: Step, interruption: Interruption) -> None:
        others = [_like(step, other) for other in interruption.others]
        between: list[Taken] = []

        def happen() -> None:
            for other in others:
                owner = self.owners[other.user]
                if bound := other.bound(owner):
                    between.append((bound, bound.perform(owner).said))

        self._faults.interrupt_at(interruption.number, happen)
        said = step.perform(self.owners[step.user]).said
        self._faults.clear()
        users = {user for each in (step, *others) for user in _users(each)}
        sights = {user: self._look(user) for user in users}
        faults: list[str] = []
        for order in _orders((step, said), between):
            libraries = [library.copy() for library in self.libraries]
            wrong = self._wrong(order, libraries, sights)
            if not wrong:
                for user, sight in sights.items():
                    self.owners[user].library = libraries[user]
                    self._hold(libraries[user], sight)
                return
            faults += ["", *map(str, order), *wrong]
        raise AssertionError("\n".join(["no order explains this:", *faults]))

    def _wrong(
        self, order: list[Taken], libraries: list[Library], sights: dict[int, Sight]
    ) -> list[str]:
        """What would be other than it is, had things happened in this order."""
        closes = any(isinstance(step, Close) for step, _ in order)
        wrong = []
        for step, said in order:
            if said is None:
                step.begin(libraries[step.user])
                continue
            expected = self._predict(step, libraries)
            # What is gone with its account may be answered in more ways than one.
            right = self._is_right(said, expected) or (closes and said < "5")
            if not (right or _is_completed_by_another(step, said, expected, order)):
                wrong.append(f"{step} would be answered {expected}")
        for user, sight in sights.items():
            if libraries[user].is_open != sight.is_open:
                wrong.append("the account would be closed, or would not")
            elif sight.is_open:
                wrong += sight.differences(libraries[user])
        return wrong

    def _begin_again(self) -> None:
        """Whoever closed their account is out, and signs up again."""
        for user, owner in enumerate(self.owners):
            if not owner.library.is_open:
                for phone in owner.phones:
                    assert phone.get("/me").code == "not_authenticated"
                assert owner.phones[0].log_in().code == "invalid_credentials"
                self.gone.append(owner.library.user_id)
                self.owners[user] = Owner(self.clock, owner)

    # What there is.

    def _predict(self, step: Step, libraries: Sequence[Library]) -> str | None:
        [said] = {step.predict(libraries[user]) for user in _users(step)}
        return said

    def _is_right(self, said: str, expected: str | None) -> bool:
        # What is left of a closed account may be put off a second time, which counts as failed.
        return expected in {None, said} or (said == "put off" and bool(self.gone))

    def _look(self, user: int) -> Sight:
        return self._observer.look(self.libraries[user].user_id)

    def _hold(self, library: Library, sight: Sight) -> None:
        """Fail unless all is as the model has it, and every invariant holds."""
        wrong = sight.invariants.broken("") + (
            sight.differences(library) if library.is_open else []
        )
        assert not wrong, "\n".join(wrong)
        if library.is_open:
            for id, here in library.recordings.items():
                library.recordings[id] = replace(here, upload_id=sight.upload_id(id))

    def _adopt(self, user: int, states: list[Library], right: list[Library]) -> None:
        """Go on from what there is, which has to be all as in one of the right states."""
        sight = self._look(user)
        wrong = [self._apart(state, sight) for state in right]
        assert [] in wrong, wrong
        self._adopt_each(user, states)

    def _adopt_each(self, user: int, states: list[Library]) -> None:
        """Go on from what there is; each recording has to be as it is in one of the states."""
        sight = self._look(user)
        _none(sight.invariants.broken(""))
        library = states[0].copy()
        library.is_open = sight.is_open
        self.owners[user].library = library
        if not sight.is_open:
            return
        for id in {id for state in states for id in state.recordings}:
            candidates = [state.recordings.get(id) for state in states]
            fitting = [each for each in candidates if sight.is_as_seen(id, each)]
            assert fitting, f"{id} is none of {candidates}"
            found = fitting[0]
            if found is None:
                library.recordings.pop(id, None)
            else:
                library.recordings[id] = self._found(sight, id, found, candidates)

    def _apart(self, library: Library, sight: Sight) -> list[str]:
        if library.is_open != sight.is_open:
            return ["the account would be closed, or would not"]
        return [*sight.in_table(library)] if library.is_open else []

    def _found(
        self, sight: Sight, id: str, found: Recording, candidates: list[Recording | None]
    ) -> Recording:
        if found.status != "uploading":
            return found
        known = [each for each in candidates if each]
        found = sight.found(id, found, known)
        for each in known:
            if (each.status, each.version) == (found.status, found.version):
                assert self._would_play(each) in {None, self._would_play(found)}, "bytes were lost"
        return found

    def _would_play(self, recording: Recording) -> Sound | None:
        alone = Library("", self.clock, recordings={"": recording})
        alone.finish("")
        return alone.recordings[""].plays


def _none(wrong: Sequence[str]) -> None:
    assert not wrong, "\n".join(wrong)


def _users(step: Step) -> list[int]:
    return [0, 1] if step.everybody else [step.user]


def _orders(step: Taken, between: list[Taken]) -> Iterator[list[Taken]]:
    """The orders in which things may seem to have happened; the step may have been begun before."""
    for last in range(len(between) + 1):
        yield [*between[:last], step, *between[last:]]
    for last in range(len(between) + 1):
        for first in range(last):
            begun = step[0], None
            yield [*between[:first], begun, *between[first:last], step, *between[last:]]


def _is_completed_by_another(
    step: Step, said: str, expected: str | None, order: list[Taken]
) -> bool:
    """Whether a direct upload was completed under way, so that it is answered as a repeated one."""
    return (isinstance(step, Receive), said, expected) == (True, "200", "201") and any(
        isinstance(other, Complete) and told == "200" for other, told in order
    )


def _like(step: Step, other: Step) -> Step:
    """The other step, of the same user and recording."""
    number = getattr(step, "number", None)
    if isinstance(step, Event) and step.arrival:
        number = int(step.arrival.id[-12:], 16)
    if step.everybody or other.everybody:
        return other
    same = {"user": step.user} | ({"number": number} if number is not None else {})
    known = {field.name for field in fields(other)}
    return replace(other, **{name: value for name, value in same.items() if name in known})


def _check(here: Recording, shown: dict[str, Any], upload: dict[str, Any] | None) -> None:
    """Fail unless an answer shows a recording, and how to send it, as they are."""
    assert facts(shown) == here.facts
    if upload:
        assert upload["method"] == here.announced.method.replace("direct", "put")
    if upload and upload["method"] == "multipart":
        there = {part["number"]: part["etag"] for part in upload["uploaded"]}
        assert there == {number: part.etag for number, part in here.whole_parts.items()}
        assert [part["number"] for part in upload["parts"]] == sorted(set(PARTS) - there.keys())
