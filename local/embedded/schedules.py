"""What AWS runs by schedule, run on a laptop, where nobody waits a minute for a mail."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

SECONDS = 1
# Upkeep has little to do here, and little is enough.
TICKS_TO_UPKEEP = 300

log = logging.getLogger(__name__)


def start(deliver_mail: Callable[[], object], upkeep: Callable[[], object]) -> None:
    """Run the jobs again and again, in a thread that ends with the process."""
    threading.Thread(target=_run, args=(deliver_mail, upkeep), daemon=True).start()


def _run(deliver_mail: Callable[[], object], upkeep: Callable[[], object]) -> None:
    for tick in itertools.count(1):
        time.sleep(SECONDS)
        try:
            deliver_mail()
            if tick % TICKS_TO_UPKEEP == 0:
                upkeep()
        except Exception:
            # The backend went before the process did, or what is being edited does not work yet.
            log.exception("a job failed")
