"""The export: all that is kept of a user, as a file of their own."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import IO

import msgspec
from msgspec import Struct

from chalicelib.core.ports import Clock, Stores
from chalicelib.models.answers import DataExport, User
from chalicelib.models.entities import StoredRecording, Tombstone, Unreadable
from chalicelib.models.fields import rfc3339

# How long the file and the recordings it names can be fetched. S3 honours a signature for no longer
# than the credentials behind it last, which are a Lambda's: some hours.
SECONDS = 6 * 3600
# Beyond this the file is written to the disk of the function.
IN_MEMORY = 8 * 1024 * 1024


class Exporting(Struct, frozen=True):
    """The use case of taking one's data along."""

    stores: Stores
    clock: Clock

    def export(self, user: User) -> DataExport:
        """Write the user's profile and recordings to a file; where it is to be had.

        `{"profile": {…}, "recordings": [{…, "download_url"}]}`, in memory that does not grow with
        the recordings. An upload under way is in it too, without a URL.
        """
        # A signature has whole seconds.
        expires_at = self.clock().replace(microsecond=0) + timedelta(seconds=SECONDS)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            self._write(user, file)
            file.seek(0)
            url = self.stores.exports.publish(user.id, file, SECONDS)
        return DataExport(url=url, expires_at=rfc3339(expires_at))

    def _write(self, user: User, file: IO[bytes]) -> None:
        encode = msgspec.json.encode
        file.write(b'{"profile":' + encode(user) + b',"recordings":[')
        separator = b""
        for each in self.stores.shelves.all_of(user.id):
            if not isinstance(each, Tombstone):
                file.write(separator + encode(self._seen(each)))
                separator = b",\n"
        file.write(b"]}\n")

    def _seen(self, recording: StoredRecording | Unreadable) -> dict[str, object]:
        if isinstance(recording, Unreadable):
            return recording.item
        seen = msgspec.to_builtins(recording.seen())
        if recording.status != "uploading":
            seen["download_url"] = self.stores.audio.sign_get(recording, SECONDS)
        return dict(seen)
