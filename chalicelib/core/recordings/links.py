"""Links, each a way in to one recording for whoever has its code."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from msgspec import UNSET, Struct, field, structs

from chalicelib.core.accounts.attempts import Attempts, seconds_until
from chalicelib.core.ports import Clock, NewId, Stores
from chalicelib.core.recordings.library import found, seen_anew
from chalicelib.errors import (
    IdConflict,
    NotFound,
    NotReady,
    TooManyAttempts,
    TooManyLinks,
    Unavailable,
)
from chalicelib.models import link_codes, media_types, titles
from chalicelib.models.answers import Audio, SharedRecording
from chalicelib.models.entities import Link, Opened, Standing, StoredRecording, Waveform
from chalicelib.models.fields import end_of_url
from chalicelib.models.requests import NewLink
from chalicelib.settings import Settings

MOST_LINKS = 100
WINDOW = timedelta(hours=1)
# A link may be opened so much more than its limit, or less, by each process that runs: a hundredth.
NOTED_IN_STEPS = 100
# How many links a process counts at once: what it forgets of the others are a few opens.
COUNTED_AT_ONCE = 10_000


class Opens(Struct):
    """How often links were opened by this process since it last noted that in the table.

    So that a link which is opened a thousand times an hour is written a hundred times.
    """

    pending: dict[str, tuple[datetime, int]] = {}
    """By code, since when and how often."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, link: Link, most: int, now: datetime) -> int:
        """Count one; how many are to be noted now. TooManyAttempts beyond `most` in the hour."""
        with self.lock:
            since, pending = self.pending.pop(link.code, (now, 0))
            if now - since >= WINDOW:
                since, pending = now, 0
            noted = link.opened(now)
            if noted + pending >= most:
                self.pending[link.code] = since, pending
                end = link.opens_until if noted and link.opens_until else since + WINDOW
                raise TooManyAttempts(seconds_until(end, now))
            if pending + 1 >= max(1, most // NOTED_IN_STEPS):
                return pending + 1
            if len(self.pending) >= COUNTED_AT_ONCE:
                del self.pending[next(iter(self.pending))]
            self.pending[link.code] = since, pending + 1
            return 0


class Links(Struct, frozen=True):
    """The use cases of links."""

    stores: Stores
    attempts: Attempts
    opens: Opens
    settings: Settings
    clock: Clock
    new_id: NewId
    new_code: NewId

    def make(self, standing: Standing | None, new: NewLink) -> tuple[Link, bool]:
        """Make a link, and whether there was none with its id before.

        NotFound; NotReady unless the recording is ready; IdConflict when another link to it has the
        id; TooManyLinks.
        """
        for each in seen_anew(self.stores.recordings, standing):
            recording = found(each)
            if recording.status != "ready":
                raise NotReady("Only a recording that is ready can be shared")
            now = self.clock()
            there = list(self.stores.links.of(recording.user_id, recording.id))
            known = [other for other in there if isinstance(other, Link)]
            link = self._link(recording, new, now)
            for other in known:
                if other.id == link.id and not other.is_over(now):
                    return _the_same(other, link), False
            over = [other for other in known if other.is_over(now)]
            if len(there) - len(over) >= MOST_LINKS:
                raise TooManyLinks(f"A recording has at most {MOST_LINKS} links; take one back")
            # Before another may take the place, and not by DynamoDB, which takes its time.
            self.stores.links.remove(over)
            if self.stores.links.add(link, recording):
                return link, True
        raise Unavailable("The recording keeps changing")

    def listed(self, standing: Standing | None) -> list[Link]:
        """The links that open a recording now, newest first; NotFound."""
        recording = found(standing)
        if recording.status != "ready":
            return []
        now = self.clock()
        there = self.stores.links.of(recording.user_id, recording.id)
        good = [link for link in there if isinstance(link, Link) and not link.is_over(now)]
        return sorted(good, key=lambda link: (link.created_at, link.id), reverse=True)

    def take_back(self, standing: Standing | None, code: str) -> None:
        """Have a link open nothing any more, and again; NotFound for the recording."""
        recording, kept_by = found(standing), link_codes.read(code)
        if kept_by:
            there = self.stores.links.of(recording.user_id, recording.id)
            self.stores.links.remove(link for link in there if link.code == kept_by)

    def open(self, code: str, source: str) -> Opened:
        """What a link tells of its recording, and where that plays, in two reads.

        NotFound, whyever it opens nothing; TooManyAttempts when the source sent too many codes that
        do not, and when the link was opened too often.
        """
        link, recording, waveform = self._opened(code, source)
        if most := self.settings.opens_per_link:
            now = self.clock()
            if opens := self.opens.count(link, most, now):
                self.stores.links.note_opens(link, opens, now, now + WINDOW)
        shared = SharedRecording(
            content_type=recording.content_type,
            size=recording.size,
            duration_ms=recording.seen().duration_ms,
            file_name=recording.file_name if link.show_name else UNSET,
            audio=self._audio(link, recording),
        )
        return Opened(shared=shared, waveform=waveform)

    def _link(self, recording: StoredRecording, new: NewLink, now: datetime) -> Link:
        seconds = new.expires_in_seconds
        return Link(
            id=new.id or self.new_id(),
            code=self.new_code(),
            user_id=recording.user_id,
            recording_id=recording.id,
            created_at=now,
            expires_at=None if seconds is None else now + timedelta(seconds=seconds),
            show_name=new.show_name,
        )

    def _opened(self, text: str, source: str) -> tuple[Link, StoredRecording, Waveform | None]:
        code, now = link_codes.read(text), self.clock()
        if code:
            watched = self.attempts.watched("wrong_codes_per_source", source)
            link, full = self.stores.links.find(code, watched, now)
            if full:
                # A good code too: it would be told from the others, and guessing could go on.
                raise self.attempts.too_many(full)
            if link and not link.is_over(now) and (playable := self._playable(link)):
                return link, *playable
        self.attempts.count("wrong_codes_per_source", source)
        raise NotFound("There is nothing to be heard here, or not any more")

    def _playable(self, link: Link) -> tuple[StoredRecording, Waveform | None] | None:
        """The recording of a link, if anybody may hear it, and its waveform."""
        account, recording, waveform = self.stores.links.target(link)
        if account is None or account.suspended_at or not isinstance(recording, StoredRecording):
            return None
        return (recording, waveform) if recording.status == "ready" else None

    def _audio(self, link: Link, recording: StoredRecording) -> Audio:
        now, seconds = self.clock(), self.settings.download_url_seconds
        if link.expires_at:
            seconds = min(seconds, seconds_until(link.expires_at, now))
        if not link.show_name:
            nameless = titles.NAMELESS + media_types.ending(recording.content_type)
            recording = structs.replace(recording, file_name=nameless)
        url = self.stores.audio.sign_get(recording, seconds)
        return Audio(url=url, expires_at=end_of_url(now, seconds))


def _the_same(there: Link, asked_for: Link) -> Link:
    """The link that is there, if it is what was asked for; IdConflict."""
    if there.show_name != asked_for.show_name or _life(there) != _life(asked_for):
        raise IdConflict("Another link of the recording has this id", field="id")
    return there


def _life(link: Link) -> timedelta | None:
    return link.expires_at - link.created_at if link.expires_at else None
