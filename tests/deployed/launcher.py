"""ministack, mended, until it is told to end: `python -m tests.deployed.launcher`.

The first line of its standard input is its environment, as JSON: tests/deployed/emulator.py. It
listens on one port of 127.0.0.1, and on no other. It ends at SIGTERM, and when its input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading


def main() -> None:
    """Serve."""
    os.environ.clear()
    os.environ.update(json.loads(sys.stdin.readline()))
    # Only now, because it reads the environment.
    from tests.deployed import mended

    mended.mend()
    asyncio.run(_serve())


async def _serve() -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app as ministack
    from ministack.core import lambda_runtime, tls

    config = Config()
    # ministack's own start would listen on port 443, too.
    config.bind = [f"127.0.0.1:{os.environ['GATEWAY_PORT']}"]
    config.certfile, config.keyfile = tls.resolve_tls_material()
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(told.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    never = asyncio.Event()
    serving = asyncio.create_task(serve(ministack.app, config, shutdown_trigger=never.wait))
    await asyncio.wait({serving, asyncio.create_task(told.wait())}, return_when="FIRST_COMPLETED")
    # The functions' processes first. Then at once: hypercorn would wait for connections that are
    # kept open, and asyncio for threads that never end.
    lambda_runtime.reset()
    os._exit(1 if serving.done() else 0)


if __name__ == "__main__":
    main()
