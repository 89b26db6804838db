"""What AWS runs by itself, run on a laptop: the jobs, by S3's events and by the clock.

Nobody waits a minute for a mail here.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from chalicelib import jobs
from chalicelib.settings import Settings
from chalicelib.wiring import services

SECONDS = 1
# Upkeep has little to do here, and little is enough.
TICKS_TO_UPKEEP = 300
# What a job that an event starts may take here, as on Lambda.
JOB_MS = 900_000

# How many recordings are listened to at once: a long one holds up no other.
LISTENERS = 4

Event = dict[str, Any]
Job = Callable[[Event, Any], None]

# The jobs that S3's events start, and the bucket that they are of.
BY_EVENT: dict[Job, Callable[[Settings], str]] = {
    jobs.notice: lambda settings: settings.uploads_bucket,
    jobs.listen: lambda settings: settings.recordings_bucket,
}

log = logging.getLogger(__name__)


class Jobs:
    """Runs the jobs in threads that end with the process."""

    def __init__(self) -> None:
        self._events: dict[Job, SimpleQueue[Event]] = {job: SimpleQueue() for job in BY_EVENT}

    def arrived(self, event: Event) -> None:
        """Have an event be seen by each job, after those that came before it."""
        for events in self._events.values():
            events.put(event)

    def start(self) -> None:
        """Run the jobs again and again."""
        threading.Thread(target=self._by_the_clock, daemon=True).start()
        for job in (*BY_EVENT, *[jobs.listen] * (LISTENERS - 1)):
            threading.Thread(target=self._by_events, args=(job,), daemon=True).start()

    def _by_the_clock(self) -> None:
        for tick in itertools.count(1):
            time.sleep(SECONDS)
            try:
                services().mail.deliver()
                if services().settings.tells_apple:
                    services().grants.settle()
                if tick % TICKS_TO_UPKEEP == 0:
                    services().upkeep.run()
            except Exception:
                # The backend went before the process did, or what is being edited does not work.
                log.exception("a job failed")

    def _by_events(self, job: Job) -> None:
        """Run a job for each event; those of other buckets than its own it passes over."""
        while True:
            event = self._events[job].get()
            if event["detail"]["bucket"]["name"] != BY_EVENT[job](services().settings):
                continue
            try:
                job(event, _Lambda())
            except Exception:
                # Lambda would try twice more; upkeep does it here.
                log.exception("%s failed", job.__name__)


class _Lambda:
    """What Lambda hands to a function, as far as the jobs look at it."""

    def __init__(self) -> None:
        self.aws_request_id = secrets.token_hex(8)
        self._until = time.monotonic() + JOB_MS / 1000

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - time.monotonic()) * 1000)
