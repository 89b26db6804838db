"""The server of the API, tethered to the process that started it.

`python -m local.tethered FD JOBS HOST PORT` does what `chalice local` does until FD, the reading
end of a pipe, comes to its end. That happens when nobody holds the writing end any longer, so even
a supervisor that was killed outright leaves no server behind, on Linux and macOS alike. What comes
through the pipe are S3's events, one a line. JOBS is `jobs` if what AWS does by itself is to be
done too.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading

from chalice.config import Config
from chalice.local import create_local_server

from local import gateway
from local.schedules import Jobs


def main() -> None:
    """Serve, for as long as the tether holds."""
    _, tether, jobs, host, port = sys.argv
    # Ctrl-C reaches the whole process group. The supervisor answers it, and ends us in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running = Jobs()
    threading.Thread(target=_hear, args=(int(tether), running), daemon=True).start()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    # botocore says where it found credentials and endpoints, which would stand among the requests.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    gateway.mend()
    # Imported here, since it may well be broken: it is what is being edited. Chalice's own command
    # would take half a second longer, for the commands that it has besides. It would read the
    # project's stages, too; none of what they set is to reach a server here.
    from app import app

    server = create_local_server(app, Config(), host, int(port))
    if jobs == "jobs":
        running.start()
    server.serve_forever()


def _hear(tether: int, jobs: Jobs) -> None:
    with os.fdopen(tether, encoding="utf-8") as lines:
        for line in lines:
            jobs.arrived(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
