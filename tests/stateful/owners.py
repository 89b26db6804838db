"""The users of the stateful tests: their devices, and what these remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import httpx

from tests.stateful.model import Library, Sound, facts, in_feed
from tests.support.phone import Answer, Phone

SESSION_LIFE = timedelta(days=60)
CURSOR_LIFE = timedelta(days=89)
MARGIN = timedelta(minutes=1)

Begun = tuple[dict[str, Any], dict[str, Any] | None]


class Outcome(NamedTuple):
    """How a step was answered, and the recordings that the answer shows, with their uploads."""

    said: str
    begun: Sequence[Begun] = ()

    @classmethod
    def of(cls, answer: Answer) -> Outcome:
        if answer.status >= 400:
            current = answer.json.get("recording")
            return cls(f"{answer.status} {answer.code}", [(current, None)] if current else [])
        body = answer.json if answer.text else {}
        shown = body.get("recordings", [body] if body else [])
        for each in shown:
            can_go_on = each.get("recording", each)["status"] == "uploading"
            assert "upload" not in each or can_go_on == bool(each["upload"])
        return cls(
            str(answer.status),
            [(each.get("recording", each), each.get("upload")) for each in shown],
        )


class Arrival(NamedTuple):
    """An object that came to be in the uploads bucket, which S3 tells of."""

    user_id: str
    id: str
    etag: str


class Grant(NamedTuple):
    """How a phone was told to send a recording, and what it means to send."""

    user_id: str
    id: str
    sound: Sound
    upload: dict[str, Any]

    @property
    def expires_at(self) -> datetime:
        return datetime.fromisoformat(self.upload["expires_at"])

    @property
    def parts(self) -> dict[int, str] | None:
        """The URLs of the parts that were still to be sent; None of what is sent whole."""
        if self.upload["method"] != "multipart":
            return None
        return {part["number"]: part["url"] for part in self.upload["parts"]}

    @property
    def upload_id(self) -> str:
        """S3's name for the multipart upload."""
        return str(httpx.URL(next(iter((self.parts or {}).values()))).params["uploadId"])


class Mirror:
    """What a device knows of all there is, by the feed."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self._cursor: str | None = None
        self._since = self._clock()
        self._end: datetime | None = None
        self._last: tuple[datetime, str] | None = None

    @property
    def is_up_to_date(self) -> bool:
        """Whether it has come to the end of the pages that it began to read."""
        return self._end is None

    def turn_page(self, phone: Phone, limit: int) -> None:
        now = self._clock()
        if self._cursor is None:
            self._begin()
        query = {"limit": limit} | ({"since": self._cursor} if self._cursor else {})
        answer = phone.get("/recordings/changes", query=query)
        if self._since < now - CURSOR_LIFE:
            assert answer.code == "cursor_expired"
            self._begin()
            return
        page = answer.json
        for change in page["changes"]:
            self._learn(change["id"], change["status"], in_feed(facts(change)))
        self._cursor, self._end = page["cursor"], self._end or now - MARGIN
        if not page["more"]:
            self._since, self._end, self._last = self._end, None, None

    def _learn(self, id: str, status: str, told: dict[str, Any]) -> None:
        place = told["updated_at"], id
        assert self._last is None or self._last < place, "changes are not told in their order"
        self._last = place
        before = self.known.pop(id, None)
        assert before is None or before["version"] <= told["version"]
        if status != "deleted":
            self.known[id] = told


class Owner:
    """A user with two devices, what these remember, and what is to be of the user's recordings."""

    def __init__(self, clock: Callable[[], datetime], before: Owner | None = None) -> None:
        self.clock = clock
        first = Phone()
        if before:
            first.email = before.phones[0].email
        first.sign_up()
        self.phones: list[Phone] = [first]
        self._log_in_by = [clock() + SESSION_LIFE]
        self.mirrors = [Mirror(clock), Mirror(clock)]
        self.library = Library(first.user_id, clock)
        self.told: dict[str, Sound] = {}
        # Of an account that is closed, bytes and events can come all the same.
        self.grants: list[Grant] = before.grants if before else []
        self.arrivals: list[Arrival] = before.arrivals if before else []
        self.untold: set[Arrival] = before.untold if before else set()

    def phone(self, device: int) -> Phone:
        """One of the devices, logged in; unless the account was just closed."""
        if device == len(self.phones):
            another = Phone()
            another.email, another.tokens = self.phones[0].email, self.phones[0].tokens
            self.phones.append(another)
            self._log_in_by.append(self.clock())
            self._log_in(device)
        elif self.clock() >= self._log_in_by[device]:
            assert self.phones[device].get("/me").status == 401
            self._log_in(device)
        return self.phones[device]

    def _log_in(self, device: int) -> None:
        answer = self.phones[device].log_in()
        if answer.status == 200:
            self.phones[device].tokens = answer.json
            self._log_in_by[device] = self.clock() + SESSION_LIFE

    def announcing(
        self, sounds: Mapping[str, Sound], perform: Callable[[Owner], Outcome]
    ) -> Outcome:
        """Remember what is meant by each id, and how it is to be sent."""
        for id, sound in sounds.items():
            self.told.setdefault(id, sound)
        outcome = perform(self)
        if outcome.begun:
            self.told |= sounds
        for recording, upload in outcome.begun:
            if upload:
                id = recording["id"]
                self.grants.append(Grant(self.library.user_id, id, self.told[id], upload))
        return outcome

    def arrived(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self.untold.add(arrival)

    def version(self, id: str) -> int | None:
        recording = self.library.recordings.get(id)
        return recording.version if recording else None
