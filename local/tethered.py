"""Chalice's command line, tethered to the process that started it.

`python -m local.tethered FD JOBS ARGUMENTS...` runs `chalice ARGUMENTS...` until FD, the reading
end of a pipe, comes to its end. That happens when nobody holds the writing end any longer, so even
a supervisor that was killed outright leaves no server behind, on Linux and macOS alike. JOBS is
`jobs` if what AWS runs by schedule is to be run too.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from chalice import cli

from chalicelib.wiring import services
from local import gateway
from local.embedded import schedules


def main() -> None:
    """Run chalice, for as long as the tether holds."""
    _, tether, jobs, *arguments = sys.argv
    # Ctrl-C reaches the whole process group. The supervisor answers it, and ends us in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(int(tether),), daemon=True).start()
    # botocore says where it found credentials and endpoints, which would stand among the requests.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    gateway.mend()
    if jobs == "jobs":
        schedules.start(
            deliver_mail=lambda: services().mail.deliver(), upkeep=lambda: services().upkeep.run()
        )
    sys.argv = ["chalice", *arguments]
    cli.main()


def _end_with(tether: int) -> None:
    os.read(tether, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
