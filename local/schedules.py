"""What AWS runs by itself, run on a laptop: the jobs, by S3's events and by the clock.

Nobody waits a minute for a mail here.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from queue import SimpleQueue
from typing import Any

from chalicelib import jobs
from chalicelib.wiring import services

SECONDS = 1
# Upkeep has little to do here, and little is enough.
TICKS_TO_UPKEEP = 300
# What a job may take on Lambda: .chalice/config.json.
NOTICE_MS = 60_000

log = logging.getLogger(__name__)


class Jobs:
    """Runs the jobs in threads that end with the process."""

    def __init__(self) -> None:
        self._events: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def arrived(self, event: dict[str, Any]) -> None:
        """Have an event of S3's noticed, after those that came before it."""
        self._events.put(event)

    def start(self) -> None:
        """Run the jobs again and again."""
        for run in (self._by_the_clock, self._by_events):
            threading.Thread(target=run, daemon=True).start()

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

    def _by_events(self) -> None:
        while True:
            event = self._events.get()
            try:
                jobs.notice(event, _Lambda())
            except Exception:
                # Lambda would try twice more; upkeep does it here.
                log.exception("notice failed")


class _Lambda:
    """What Lambda hands to a function, as far as the jobs look at it."""

    def __init__(self) -> None:
        self.aws_request_id = secrets.token_hex(8)
        self._until = time.monotonic() + NOTICE_MS / 1000

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - time.monotonic()) * 1000)
