"""What can happen to recordings: what phones ask for, what S3 tells of, what time does.

Each step can be performed on the app and predicted on the model. It is bound first: to the URL, the
version or the parts that its phone knows of by then, and goes by when it tries again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import httpx

from chalicelib import jobs, wiring
from chalicelib.errors import RecorderError
from tests.conftest import LAMBDA
from tests.stateful.model import (
    OTHER_TYPE,
    OTHERS,
    PARTS,
    SHORT,
    TYPE,
    Announcement,
    Arrived,
    Library,
    Sound,
)
from tests.stateful.owners import Arrival, Grant, Outcome, Owner
from tests.support.phone import NO_TLS, PASSWORD, Answer, Phone


def id_of(number: int) -> str:
    """The id that any user gives to what they record as their first, second and so on."""
    return f"019a8f3e-7c1d-7f00-8a3b-{number:012x}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that happens to one user's recordings, or to everybody's."""

    user: int

    everybody = False

    def placed(self, _newest: int) -> Self:
        """The step with its numbers counted back from the newest recording's."""
        return self

    def bound(self, _owner: Owner) -> Self | None:
        """The step with what its phone knows; None when there is nothing to do."""
        return self

    def perform(self, owner: Owner) -> Outcome:
        raise NotImplementedError

    def predict(self, library: Library) -> str | None:
        """Do it to the model; how it is answered, None when that may be one way or another."""
        raise NotImplementedError

    def begin(self, library: Library) -> None:
        """Do to the model what is there of the step once its first write is done."""


@dataclass(frozen=True, kw_only=True)
class Request(Step):
    """What one device asks of the API; it is answered as long as the account is open."""

    device: int

    def bound(self, owner: Owner) -> Self | None:
        owner.phone(self.device)
        return self

    def perform(self, owner: Owner) -> Outcome:
        return Outcome.of(self.ask(owner.phones[self.device]))

    def ask(self, phone: Phone) -> Answer:
        raise NotImplementedError

    def predict(self, library: Library) -> str | None:
        return self.answer(library) if library.is_open else "401 not_authenticated"

    def answer(self, library: Library) -> str:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class OnOne(Request):
    """A request about one recording."""

    number: int

    def placed(self, newest: int) -> Self:
        return replace(self, number=max(newest - self.number, 0))

    @property
    def id(self) -> str:
        return id_of(self.number)


@dataclass(frozen=True, kw_only=True)
class Announce(OnOne):
    told: Announcement

    def ask(self, phone: Phone) -> Answer:
        return phone.post("/recordings", self.told.fields | {"id": self.id})

    def perform(self, owner: Owner) -> Outcome:
        return owner.announcing({self.id: self.told.sound}, super().perform)

    def answer(self, library: Library) -> str:
        return library.announce({self.id: self.told})

    def begin(self, library: Library) -> None:
        library.announce({self.id: self.told})


@dataclass(frozen=True, kw_only=True)
class AnnounceAll(Request):
    told: tuple[tuple[int, Announcement], ...]

    def placed(self, newest: int) -> Self:
        told = ((max(newest - number, 0), told) for number, told in self.told)
        return replace(self, told=tuple(told))

    @property
    def by_id(self) -> dict[str, Announcement]:
        return {id_of(number): told for number, told in self.told}

    def ask(self, phone: Phone) -> Answer:
        new = [told.fields | {"id": id} for id, told in self.by_id.items()]
        return phone.post("/recordings/batch", {"recordings": new})

    def perform(self, owner: Owner) -> Outcome:
        sounds = {id: told.sound for id, told in self.by_id.items()}
        return owner.announcing(sounds, super().perform)

    def answer(self, library: Library) -> str:
        return library.announce(self.by_id).replace("200", "201")

    def begin(self, library: Library) -> None:
        library.announce(self.by_id)


@dataclass(frozen=True, kw_only=True)
class Receive(OnOne):
    """A direct upload."""

    sound: Sound

    def ask(self, phone: Phone) -> Answer:
        return phone.put_audio(self.id, self.sound.data)

    def perform(self, owner: Owner) -> Outcome:
        return owner.announcing({self.id: self.sound}, super().perform)

    def answer(self, library: Library) -> str:
        return library.receive(self.id, self.sound)

    def begin(self, library: Library) -> None:
        library.begin_to_receive(self.id, self.sound)


@dataclass(frozen=True, kw_only=True)
class Resume(OnOne):
    def ask(self, phone: Phone) -> Answer:
        return phone.resume(self.id)

    def perform(self, owner: Owner) -> Outcome:
        return owner.announcing({}, super().perform)

    def answer(self, library: Library) -> str:
        return library.resume(self.id)


@dataclass(frozen=True, kw_only=True)
class Complete(OnOne):
    naming: str = ""
    """How the parts are named: not at all, "rightly", or "wrongly"."""
    named: Mapping[int, str] = field(default_factory=dict, repr=False)
    """The ETags of the parts."""

    def bound(self, owner: Owner) -> Self | None:
        super().bound(owner)
        sent = owner.told.get(self.id, SHORT)
        named = {number: sent.part(number).etag for number in PARTS}
        if self.naming == "wrongly":
            named[1] = SHORT.etag
        return replace(self, named=named if self.naming else {})

    def ask(self, phone: Phone) -> Answer:
        # With quotes and without.
        parts = [
            {"number": number, "etag": etag.strip('"' * (number % 2))}
            for number, etag in self.named.items()
        ]
        return phone.complete(self.id, {"parts": parts} if parts else None)

    def answer(self, library: Library) -> str:
        return library.complete(self.id, named=self.named)


@dataclass(frozen=True, kw_only=True)
class OnVersion(OnOne):
    """A request about one version of a recording, perhaps."""

    if_match: str = ""
    """Which version: any, the one that is "seen", or an "old" one."""
    version: int | None = None

    def bound(self, owner: Owner) -> Self | None:
        super().bound(owner)
        seen = owner.version(self.id)
        if not self.if_match or seen is None:
            return self
        return replace(self, version=seen - (self.if_match == "old"))

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.version is None else {"If-Match": f'"{self.version}"'}


@dataclass(frozen=True, kw_only=True)
class Revise(OnVersion):
    notes: str | None = None

    def ask(self, phone: Phone) -> Answer:
        body = {"notes": self.notes}
        return phone.patch(f"/recordings/{self.id}", body, headers=self.headers)

    def answer(self, library: Library) -> str:
        return library.revise(self.id, self.notes, self.version)


@dataclass(frozen=True, kw_only=True)
class Restore(OnVersion):
    def ask(self, phone: Phone) -> Answer:
        return phone.post(f"/recordings/{self.id}/restore", headers=self.headers)

    def answer(self, library: Library) -> str:
        return library.restore(self.id, self.version)


@dataclass(frozen=True, kw_only=True)
class Delete(OnOne):
    permanent: bool = False

    def ask(self, phone: Phone) -> Answer:
        return phone.delete_for_good(self.id) if self.permanent else phone.trash(self.id)

    def answer(self, library: Library) -> str:
        return library.delete(self.id, permanent=self.permanent)


@dataclass(frozen=True, kw_only=True)
class Close(Request):
    password: str = PASSWORD

    def ask(self, phone: Phone) -> Answer:
        return phone.call("DELETE", "/me", {"password": self.password})

    def answer(self, library: Library) -> str:
        if self.password != PASSWORD:
            return "401 invalid_credentials"
        library.is_open = False
        return "204"


@dataclass(frozen=True, kw_only=True)
class Send(Step):
    """A phone sends to S3 what it was told to send, or something else."""

    number: int
    mistake: str = ""
    """None, "another" sound of the same size, a "short" one, or another one of another "type"."""
    part: int = 1
    latest: bool = True
    grant: Grant | None = field(default=None, repr=False)

    def placed(self, newest: int) -> Self:
        return replace(self, number=max(newest - self.number, 0))

    def bound(self, owner: Owner) -> Self | None:
        # moto does not heed that a URL has expired.
        now = owner.clock()
        found = [
            grant
            for grant in owner.grants
            if grant.id == id_of(self.number) and grant.expires_at > now and grant.parts != {}
        ]
        if not found:
            return None
        grant = found[-1 if self.latest else 0]
        part = self.part if not grant.parts or self.part in grant.parts else min(grant.parts)
        return replace(self, part=part, grant=grant)

    def perform(self, owner: Owner) -> Outcome:
        assert self.grant
        upload, sound = self.grant.upload, self._sound
        if self.grant.parts:
            url = self.grant.parts[self.part]
            answer = httpx.put(url, content=sound.data, verify=NO_TLS)
            return Outcome("taken" if answer.is_success else "refused")
        if upload["method"] == "put":
            headers = upload["headers"] | {"Content-Type": self._type}
            headers["Content-Length"] = str(sound.size)
            answer = httpx.put(upload["url"], headers=headers, content=sound.data, verify=NO_TLS)
        else:
            fields = upload["fields"] | {"Content-Type": self._type}
            file = {"file": ("x", sound.data)}
            answer = httpx.post(upload["url"], data=fields, files=file, verify=NO_TLS)
        assert answer.is_success, answer.text
        owner.arrived(Arrival(self.grant.user_id, self.grant.id, sound.etag))
        return Outcome("taken")

    def predict(self, library: Library) -> str | None:
        assert self.grant
        if self.grant.user_id != library.user_id:
            return None
        if not self.grant.parts:
            arrived = Arrived(self._sound, self._type, self._sound.etag)
            library.arrive(self.grant.id, arrived)
            return "taken"
        upload_id = self.grant.upload_id
        taken = library.arrive_in_part(self.grant.id, upload_id, self.part, self._sound)
        return {True: "taken", False: "refused", None: None}[taken]

    @property
    def _sound(self) -> Sound:
        assert self.grant
        if self.mistake == "short":
            return SHORT
        # Of another type, the same bytes would be the same to whom ETags are all there is.
        sound = OTHERS[self.grant.sound] if self.mistake else self.grant.sound
        return sound.part(self.part) if self.grant.parts else sound

    @property
    def _type(self) -> str:
        return OTHER_TYPE if self.mistake == "type" else TYPE


@dataclass(frozen=True, kw_only=True)
class Event(Step):
    """S3 tells of an object, late, or not for the first time."""

    which: int = 0
    """Counted back from the last that arrived."""
    arrival: Arrival | None = None

    def bound(self, owner: Owner) -> Self | None:
        if self.arrival or not owner.arrivals:
            return self if self.arrival else None
        return replace(self, arrival=owner.arrivals[-1 - self.which % len(owner.arrivals)])

    def perform(self, owner: Owner) -> Outcome:
        assert self.arrival
        user_id, id, etag = self.arrival
        bucket = wiring.services().settings.uploads_bucket
        created = {"key": f"{user_id}/{id}", "etag": etag.strip('"')}
        try:
            jobs.notice({"detail": {"bucket": {"name": bucket}, "object": created}}, LAMBDA)
        except RecorderError as error:
            return Outcome(f"{error.status} {error.code}")
        owner.untold.discard(self.arrival)
        return Outcome("done")

    def predict(self, library: Library) -> str | None:
        assert self.arrival
        if self.arrival.user_id == library.user_id:
            library.notice(self.arrival.id)
        return "done"


@dataclass(frozen=True, kw_only=True)
class Upkeep(Step):
    """A run of upkeep, which may be over before everything is done."""

    looks: int | None = None
    """How many times it may go on."""

    everybody = True

    def perform(self, _owner: Owner) -> Outcome:
        looks = itertools.count()
        try:
            tally = wiring.services().upkeep.run(
                lambda: self.looks is None or next(looks) < self.looks
            )
        except RecorderError as error:
            return Outcome(f"{error.status} {error.code}")
        return Outcome("put off" if tally.failed else "done")

    def predict(self, library: Library) -> str | None:
        library.keep_up()
        return "done"
