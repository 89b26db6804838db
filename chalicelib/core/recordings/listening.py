"""Listening: what a recording is, by its own bytes, once it is ready."""

from __future__ import annotations

import logging
from collections.abc import Callable

from msgspec import Struct

from chalicelib import deadline, telemetry
from chalicelib.core.ports import Clock, Ear, Stores
from chalicelib.core.recordings.library import WRITE_ATTEMPTS
from chalicelib.errors import Unavailable
from chalicelib.models.entities import Heard, StoredObject, StoredRecording, Waveform

log = logging.getLogger(__name__)

# The version of what listens. Who has it hear more counts it up, and has all be listened to again:
# docs/operations.md.
LISTENER = 2
# S3 tells of a copy before it is noted that the recording is ready: so long that is waited for. A
# phone whose completion fails in between comes back later, and upkeep has it listened to.
PAUSES = 0.1, 0.2, 0.4, 0.8, 1.6, 3.2
# How long a machine that has much else to do may take for it. What the bytes may take, of its
# processor, is for the ear to say.
SECONDS_AT_LEAST = 60
SECONDS_AT_MOST = 870
# What is left of the time of a run to note what was heard.
SECONDS_TO_NOTE = 15
# A URL is good for longer than anybody reads by it.
SECONDS_BEYOND = 60


class Listening(Struct, frozen=True):
    """The use case of finding out what is in a recording."""

    stores: Stores
    ear: Ear
    clock: Clock
    pause: Callable[[float], None]

    def listen(self, user_id: str, recording_id: str) -> None:
        """Listen to a recording, and note what was heard; again changes nothing.

        One that is gone, or never becomes ready, is none to be listened to. Unavailable when its
        bytes cannot be had.
        """
        recording, waveform = self._kept(user_id, recording_id)
        if recording is None or recording.listener >= LISTENER:
            return
        kept = self.stores.audio.find(recording)
        if kept is None or not _has_bytes_of(recording, kept):
            if self._again(recording)[0]:
                log.warning("%s has not the bytes that it should have", recording.key)
            return
        seconds = min(SECONDS_AT_MOST, deadline.seconds_left() - SECONDS_TO_NOTE)
        if seconds < SECONDS_AT_LEAST:
            raise Unavailable("There is no time left to listen")
        url = self.stores.audio.sign_read(recording, int(seconds) + SECONDS_BEYOND)
        try:
            heard = self.ear.hear(url, kept, seconds)
        except Unavailable:
            # Deleted meanwhile, there is nothing that anybody should try again.
            if self._again(recording)[0]:
                raise
            return
        self._note(recording, waveform, heard)

    def _kept(
        self, user_id: str, recording_id: str
    ) -> tuple[StoredRecording | None, Waveform | None]:
        """A recording that has its bytes, and the waveform that it has."""
        for pause in (*PAUSES, None):
            standing, waveform = self.stores.sounds.find(user_id, recording_id)
            if not isinstance(standing, StoredRecording):
                break
            if standing.status != "uploading":
                return standing, waveform
            if pause:
                self.pause(pause)
        return None, None

    def _again(self, recording: StoredRecording) -> tuple[StoredRecording | None, Waveform | None]:
        """The same as it stands now, if it is still to be listened to."""
        standing, waveform = self.stores.sounds.find(recording.user_id, recording.id)
        # Another one, or none, if it was deleted; and who was quicker heard the same.
        if not isinstance(standing, StoredRecording) or standing.listener >= LISTENER:
            return None, None
        if standing.upload_name != recording.upload_name or standing.status == "uploading":
            return None, None
        return standing, waveform

    def _note(self, recording: StoredRecording, waveform: Waveform | None, heard: Heard) -> None:
        for _ in range(WRITE_ATTEMPTS):
            if (recording.sound, waveform) == (heard.sound, heard.waveform):
                noted = self.stores.sounds.note_again(recording, LISTENER)
            else:
                noted = self.stores.sounds.note(recording, heard, LISTENER, self.clock())
            if noted:
                unreadable = not heard.sound.readable
                telemetry.count(listened_to=1, listened_to_unreadable=unreadable)
                return
            standing, waveform = self._again(recording)
            if standing is None:
                return
            recording = standing
        raise Unavailable("The recording keeps changing")


def _has_bytes_of(recording: StoredRecording, kept: StoredObject) -> bool:
    if recording.sha256 and kept.sha256 and recording.sha256 != kept.sha256:
        return False
    return kept.size == recording.size
