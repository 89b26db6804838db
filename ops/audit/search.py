"""The audit: looking for what is lost or left behind, in all there is, while it is in use."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Literal

from msgspec import Struct

from chalicelib.core.ports import Clock
from chalicelib.models.entities import Keyed
from ops.audit.entries import Balance, Drawn, Entry, KeptVersion, LinkEntry, Staged, Way
from ops.audit.invariants import Census, Place, Rule
from ops.audit.inventory import Inventory

# How long something may lie in the uploads bucket, and nothing wait for it, before it is mentioned.
LEFT = timedelta(days=1)
# Each look past the first means that somebody changed what is looked at meanwhile.
LOOKS = 5
BY_KEY = attrgetter("key")
BY_USER = attrgetter("user_id")


class Finding(Struct, frozen=True):
    """A breach of a rule or, as a note, something that is none but should be known."""

    rule: Rule | Literal["note"]
    key: str
    """`<user>/<recording>`, as in the buckets; `<user>` when it is about an account."""
    says: str


class Tally(Struct):
    """How much was looked at."""

    accounts: int = 0
    recordings: int = 0


class Audit:
    """The use case of operators who want to know."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        """Take what it stands on."""
        self._inventory = inventory
        self._clock = clock

    def run(self, tally: Tally, *, checksums: bool = False) -> Iterator[Finding]:
        """Look at everything, and say what is wrong as it is found; nothing is changed.

        What looks wrong is looked at again, as last written, before it is said: the app goes on
        meanwhile. With `checksums` every recording is, for its SHA-256. The tally grows as things
        are looked at; the memory that is needed does not.
        """
        ways: list[Way] = []
        standing = _apart(self._inventory.standing(), ways)
        for user_id, theirs in groupby(standing, BY_USER):
            yield from self._user(user_id, theirs, tally, checksums=checksums)
            yield from self._ways(ways)
        yield from self._ways(ways)
        for prefix in self._inventory.prefixes():
            user_id, slash, _ = prefix.partition("/")
            if not slash:
                yield Finding("I2", prefix, "An object is under no user's prefix")
            elif not self._is_known(user_id):
                yield from self._user(user_id, (), tally, checksums=checksums)
        yield from self._links()
        for staged in self._inventory.staged():
            if staged.since < self._clock() - LEFT and not self._is_awaited(staged):
                what = "A multipart upload" if staged.upload_id else "An object"
                says = f"{what} in the uploads bucket belongs to no upload; S3 removes it in time"
                yield Finding("note", staged.key, says)

    def _links(self) -> Iterator[Finding]:
        for link in self._inventory.links():
            if not self._leads_somewhere(link) and self._inventory.stands(link):
                yield Finding("I4", link.key, "A link is left of what is no recording any more")

    def _user(
        self,
        user_id: str,
        standing: Iterable[Balance | Entry],
        tally: Tally,
        *,
        checksums: bool,
    ) -> Iterator[Finding]:
        census, now = Census(), self._clock()
        streams: list[Iterator[Entry | KeptVersion | Drawn]] = [
            census.counted(standing),
            self._inventory.versions(user_id),
            self._inventory.waveforms(user_id),
        ]
        # Both come in the order of their keys, so what is under one key comes together.
        for key, found in groupby(heapq.merge(*streams, key=BY_KEY), BY_KEY):
            place = Place.of(key, found)
            breaches = place.breaches(now, is_closed=_is_closed(census.balance))
            if any(breaches) or (checksums and place.is_kept):
                yield from self._look_again(key)
        if any(census.breaches(now)):
            yield from self._count_again(user_id)
        yield from self._ways(census.balance.ways if census.balance else [])
        tally.accounts += census.balance is not None
        tally.recordings += census.recordings

    def _ways(self, ways: list[Way]) -> Iterator[Finding]:
        """What is wrong with who signs in by a provider; those are looked at, and taken away."""
        while ways:
            way = ways.pop()
            for _ in range(LOOKS):
                # Before and after the account, so that both are of one moment.
                leads_to, balance = (
                    self._inventory.leads_to(way),
                    self._inventory.balance(way.user_id),
                )
                says = _breach(way, leads_to, balance)
                if says is None or self._inventory.leads_to(way) == leads_to:
                    break
            if says:
                yield Finding("I5", way.user_id, says)

    def _look_again(self, key: str) -> Iterator[Finding]:
        """What is wrong under a key, at a moment when the table said the same before and after."""
        user_id, _, recording_id = key.partition("/")
        for _ in range(LOOKS):
            # First of all: nothing is left of a closed account's recordings when it goes itself.
            balance = self._inventory.balance(user_id)
            entry = self._entry(key)
            versions = self._inventory.versions(user_id, recording_id)
            drawn = self._inventory.waveform(user_id, recording_id) if Keyed.at(key) else None
            there = [each for each in (entry, drawn) if each]
            place = Place.of(key, chain(there, versions))
            if self._entry(key) == entry:
                break
        else:
            yield Finding("note", key, "It keeps changing; run the audit again")
            return
        sha256 = None
        if place.is_kept and place.current:
            sha256 = self._inventory.sha256(place.current)
        now, is_closed = self._clock(), _is_closed(balance)
        for rule, says in place.breaches(now, is_closed=is_closed, sha256=sha256):
            if rule == "I1" and entry:
                yield Finding(rule, key, f"{says}; {self._whereabouts(entry)}")
            else:
                yield Finding(rule, key, says)

    def _count_again(self, user_id: str) -> Iterator[Finding]:
        """What is wrong with a user's balance, when it is the same twice running."""
        counted: Census | None = None
        for _ in range(LOOKS):
            before, counted = counted, Census(self._inventory.balance(user_id))
            for _ in counted.counted(self._inventory.entries(user_id)):
                pass
            breaches = list(counted.breaches(self._clock()))
            if not breaches or counted == before:
                break
        else:
            yield Finding("note", user_id, "Its recordings keep changing; run the audit again")
            return
        for rule, says in breaches:
            yield Finding(rule, user_id, says)

    def _whereabouts(self, entry: Entry) -> str:
        """Where the bytes of a recording are, if another version has them."""
        for version in self._inventory.versions(entry.user_id, entry.id):
            if version.size == entry.size:
                which = f"version {version.version_id}{', the current one,' * version.is_current}"
                sha256 = self._inventory.sha256(version)
                if sha256 and sha256 == entry.sha256:
                    return f"{which} has its bytes"
                if not (sha256 and entry.sha256):
                    return f"{which} has as many bytes"
        return "no version has its bytes"

    def _is_known(self, user_id: str) -> bool:
        """Whether the table has anything of a user's, so that it was or will be looked at."""
        if self._inventory.balance(user_id):
            return True
        return next(self._inventory.entries(user_id), None) is not None

    def _leads_somewhere(self, link: LinkEntry) -> bool:
        """Whether a link has its recording, or goes with what is left of it, or by itself."""
        if link.expires_at and link.expires_at <= self._clock():
            return True
        entry = self._entry(link.key)
        if entry and (entry.is_live or entry.owes):
            return True
        return _is_closed(self._inventory.balance(link.user_id))

    def _is_awaited(self, staged: Staged) -> bool:
        """Whether something that is in the uploads bucket is of use, owed, or was so until now."""
        entry = self._entry(staged.key)
        if entry is None:
            return _is_closed(self._inventory.balance(staged.key.partition("/")[0]))
        if entry.status == "uploading":
            return staged.upload_id in {None, entry.upload_id}
        return bool(entry.owes) or entry.updated_at > self._clock() - LEFT

    def _entry(self, key: str) -> Entry | None:
        # Under any other key no recording can be, and what a mistaken tool called an object may
        # be no key of the table.
        keyed = Keyed.at(key)
        return self._inventory.entry(keyed.user_id, keyed.id) if keyed else None


def _breach(way: Way, leads_to: str | None, balance: Balance | None) -> str | None:
    """What is wrong with a way to sign in, by where it leads and by the account, if anything is."""
    has_it = balance is not None and way in balance.ways
    name = way.provider.capitalize()
    if leads_to == way.user_id and not has_it:
        return f"{name} signs somebody in to it, of whom it does not know"
    if has_it and leads_to != way.user_id:
        where = "to another account" if leads_to else "to none"
        return f"It says that {name} signs somebody in to it, who is signed in {where}"
    return None


def _apart(standing: Iterable[Balance | Entry | Way], ways: list[Way]) -> Iterator[Balance | Entry]:
    """What there is of users, with who signs in by a provider put aside."""
    for each in standing:
        if isinstance(each, Way):
            ways.append(each)
        else:
            yield each


def _is_closed(balance: Balance | None) -> bool:
    return balance is not None and balance.closed_at is not None
