"""The export: all that is kept of a user, as a file of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec
from msgspec import Struct

from chalicelib.core.accounts.attempts import Attempts
from chalicelib.core.accounts.proofs import Proofs
from chalicelib.core.ports import Clock, Stores
from chalicelib.errors import NotAuthenticated
from chalicelib.models.answers import DataExport
from chalicelib.models.entities import (
    Account,
    Link,
    StoredRecording,
    Tombstone,
    Unreadable,
    Waveform,
)
from chalicelib.models.fields import PROVIDERS, end_of_url, rfc3339
from chalicelib.models.requests import Proof
from chalicelib.settings import Settings

# How long the file is kept: as long as its URL may take to be followed, and no trace of it stays.
LIFE = timedelta(hours=1)
# Of how many recordings an export has the waveforms: 30 MB in the table, and 70 in the file.
MOST_DRAWN = 5000
# Beyond this the file is written to the disk of the function.
IN_MEMORY = 8 * 1024 * 1024


class Exporting(Struct, frozen=True):
    """The use case of taking one's data along."""

    stores: Stores
    proofs: Proofs
    attempts: Attempts
    settings: Settings
    clock: Clock

    def export(self, account: Account, proof: Proof, source: str, address: str) -> DataExport:
        """Write the user's profile and recordings to a file; where it is to be had.

        `{"profile": {…}, "identities": {"google": {…}}, "recordings": [{…, "download_url"}],
        "links": [{…}], "waveforms": {"<id>": {…}}}`, in memory that does not grow with them. An
        upload under way is in it too, without a URL, and what cannot be read as it stands. The URLs
        are good for RECORDER_DOWNLOAD_URL_SECONDS. With more than MOST_DRAWN recordings the
        waveforms are null: to write them all would take too long. What was exported before goes.
        InvalidCredentials, TooManyAttempts, Unavailable; NotAuthenticated when the access ended
        meanwhile.
        """
        self.proofs.check(account, proof, source, "export")
        self.attempts.count("exports_per_day", account.id)
        now = self.clock()
        # Its time would be that of this one.
        self.stores.exports.delete(account.id)
        # Before there is anything to be deleted, so that nothing is forgotten.
        self.stores.accounts.note_export(account.id, now + LIFE)
        seconds = self.settings.download_url_seconds
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            # Piece by piece: only then does what is too large for the memory go to the disk.
            for text in self._text(account, address):
                file.write(text)
            file.seek(0)
            url = self.stores.exports.publish(account.id, file, seconds)
        # What ends access deletes what there is by then; whoever comes after it is told of nothing.
        try:
            self.proofs.still_good(account)
        except NotAuthenticated:
            self.stores.exports.delete(account.id)
            raise
        return DataExport(url=url, expires_at=end_of_url(now, seconds))

    def _text(self, account: Account, address: str) -> Iterator[bytes]:
        encode = msgspec.json.encode
        profile = account.seen(self.settings.quota, self.settings.providers)
        identities = {
            each: {"subject": it.subject, "email": it.email, "added_at": rfc3339(it.added_at)}
            for each in PROVIDERS
            if (it := account.identity(each))
        }
        standing = self.stores.shelves.all_of(account.id)
        recordings = (self._seen(each) for each in standing if not isinstance(each, Tombstone))
        links = (_link(each, address) for each in self.stores.links.of(account.id))
        drawn = self.stores.sounds.waveforms(account.id)
        waveforms = (encode(id) + b":" + encode(_raw_or_seen(each)) for id, each in drawn)
        yield b'{"profile":' + encode(profile) + b',"identities":' + encode(identities)
        yield b',"recordings":'
        yield from _enclosed(b"[", map(encode, recordings), b"]")
        yield b',"links":'
        yield from _enclosed(b"[", map(encode, links), b"]")
        yield b',"waveforms":'
        if account.recordings_used > MOST_DRAWN:
            yield b"null"
        else:
            yield from _enclosed(b"{", waveforms, b"}")
        yield b"}\n"

    def _seen(self, recording: StoredRecording | Unreadable) -> dict[str, object]:
        if isinstance(recording, Unreadable):
            return recording.item
        seen = msgspec.to_builtins(recording.seen())
        if recording.status != "uploading":
            seconds = self.settings.download_url_seconds
            seen["download_url"] = self.stores.audio.sign_get(recording, seconds)
        return dict(seen)


def _link(link: Link | Unreadable, address: str) -> dict[str, object]:
    if isinstance(link, Unreadable):
        return link.item
    return {"recording_id": link.recording_id, **msgspec.to_builtins(link.seen(address))}


def _raw_or_seen(waveform: Waveform | Unreadable) -> object:
    return waveform.item if isinstance(waveform, Unreadable) else waveform.seen()


def _enclosed(opening: bytes, entries: Iterable[bytes], closing: bytes) -> Iterator[bytes]:
    """A list or an object in JSON, an entry a line, as they come."""
    separator = opening
    for entry in entries:
        yield separator + entry
        separator = b",\n"
    yield closing if separator != opening else opening + closing
