"""What `make run` runs: the embedded backend, and beside it a server that follows the code.

The backend lives in this process and the server in a child, so an edit restarts the server and
leaves the data alone. Errors a person can mend are one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from watchfiles import Change, watch

from chalicelib import settings
from chalicelib.models.fields import PROVIDERS
from local import lan
from local.attach import FOLDER, word_left
from local.child import Child
from local.embedded import backend, environment
from local.embedded.disk import NotUsable

if TYPE_CHECKING:
    from local.provider import Provider

ROOT = Path(__file__).resolve().parent.parent
# In the place of a folder: nothing is kept.
MEMORY = "memory"
# How long the loop waits for an edit before it looks after the child.
TICK_MS = 200
LAST_PORT = 65535
SIGNUP = """curl -s {url}/auth/signup -H 'Content-Type: application/json' \\
                -d '{{"email": "you@example.com", "password": "correct horse battery"}}'"""


class Refused(Exception):
    """What was asked for cannot be done; the message says why, in one line."""


class Stop:
    """Whether a signal has said to stop.

    Not a threading.Event: to set one takes a lock, and a second signal, such as the one that make
    passes on after Ctrl-C, may come while the first one's handler has it. It would wait for ever.
    """

    def __init__(self) -> None:
        self._said = False

    def set(self, *_: object) -> None:
        """Handle a signal."""
        self._said = True

    def is_set(self) -> bool:
        """Whether there was one."""
        return self._said


@dataclass(frozen=True)
class Options:
    """Where to listen, and the name by which phones know this machine, if it is another one.

    `folder` has the data, and None is memory; `phone` shows a QR code; `provider` brings one that
    stands in for Google and Apple.
    """

    host: str
    port: int
    public_host: str | None
    folder: Path | None
    phone: bool
    provider: bool

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        return f"http://{environment.reachable(self.host)}:{self.port}"

    @property
    def public_url(self) -> str:
        """The address to open on a phone."""
        return f"http://{self.public_host}:{self.port}" if self.public_host else self.url


def main() -> int:
    """Serve until a signal says to stop; return the process's exit code."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop.set)
    try:
        options = _options()
        environ = dict(os.environ)
        embedded = _is_embedded(environ)
        _check_address(options)
        child = Child(ROOT, options.host, options.port, environ, jobs=embedded)
        data = (
            backend.listen(options.host, options.public_host, options.folder) if embedded else None
        )
        provider = _provider(environ) if options.provider else None
    except (Refused, NotUsable) as refusal:
        print(f"make run: {refusal}", file=sys.stderr)
        return 2
    if data:
        environment.apply(data.environment(), environ)
        environ.setdefault("RECORDER_PUBLIC_URL", options.public_url)
    try:
        with word_left(options.port, environ):
            return _supervise(child, stop, _banner(options, data, provider), data)
    finally:
        child.stop()
        if provider:
            provider.stop()
        if data:
            data.stop()


def _provider(environ: dict[str, str]) -> Provider:
    """Serve people that are made up, and have the app take them for who they say they are.

    Raises Refused where that would let anybody in to what others keep.
    """
    if environ.get("RECORDER_BACKEND") == "aws":
        raise Refused("PROVIDER=1 is for data on this machine, and RECORDER_BACKEND is aws")
    # Not at the top: making keys takes what few who run this want.
    from local.provider import CLIENT_ID, Provider

    provider = Provider()
    environ.update(provider.environment())
    for name in provider.client_ids:
        environ.setdefault(f"RECORDER_{name.upper()}_CLIENT_IDS", CLIENT_ID)
    client_ids = {name: settings.load(environ).client_ids(name) for name in PROVIDERS}
    provider.client_ids |= {name: each[-1] for name, each in client_ids.items() if each}
    # So that what is handed over of Apple's is taken back here too, which the provider notes.
    secrets = ",".join(f"{each}=no-secret" for each in client_ids["apple"])
    environ.setdefault("RECORDER_APPLE_CLIENT_SECRETS", secrets)
    provider.serve()
    return provider


def _supervise(child: Child, stop: Stop, banner: str, data: backend.Backend | None) -> int:
    """Keep the server running and in step with the code; return when there is nothing to keep."""
    greeted = reported = False
    printed = 0
    child.start()
    if data:
        # It takes as long as the server does to start, which waits for its answers meanwhile.
        data.serve(child.tell)
        _tell_of_what_waits(child, data)
    for edited in _edits(stop):
        printed += _print_mails(data, printed)
        if edited:
            print(f"make run: {', '.join(edited)} changed, starting again", flush=True)
            child.stop()
            child.start()
            _tell_of_what_waits(child, data)
            reported = False
        elif (code := child.ended()) is not None:
            if not greeted:
                # It has said why, and an edit may well not be the remedy.
                return code or 1
            if not reported:
                print("make run: the server ended; waiting for an edit", flush=True)
            reported = True
        elif not greeted and child.answers():
            print(banner, flush=True)
            greeted = True
    return 0


def _tell_of_what_waits(child: Child, data: backend.Backend | None) -> None:
    for event in data.arrivals() if data else []:
        child.tell(event)


def _print_mails(data: backend.Backend | None, already: int) -> int:
    """Print the mails that were not printed yet; how many that were."""
    mails = data.mails()[already:] if data else []
    for mail in mails:
        text = indent(mail["text"], "    ")
        print(f"\n  Mail to {mail['to']}: {mail['subject']}\n\n{text}", flush=True)
    return len(mails)


def _edits(stop: Stop) -> Iterator[list[str]]:
    """Yield the names of the files that were edited, or an empty list at every tick."""
    while not stop.is_set():
        folders = _folders()
        # Folders, because an editor that saves by renaming takes a watched file away; and not the
        # whole project, because .venv has thousands of them.
        for changes in watch(
            *folders,
            watch_filter=_is_code,
            stop_event=stop,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            edited = sorted({str(Path(path).relative_to(ROOT)) for _, path in changes})
            if _folders() != folders:
                yield edited or ["chalicelib"]
                break
            yield edited


def _folders() -> list[Path]:
    packages = (ROOT / "chalicelib").glob("**/")
    return [ROOT, ROOT / ".chalice", *(each for each in packages if each.name != "__pycache__")]


def _is_code(_: Change, path: str) -> bool:
    file = Path(path)
    if file.parent == ROOT:
        return file.name == "app.py"
    # Editors keep locks and backups under names that begin with a dot.
    return file.suffix in {".py", ".json", ".html", ".css", ".js"} and not file.name.startswith(".")


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m local.run", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", default="8000", help="the port to listen on")
    parser.add_argument("--public-host", help="the name by which phones reach this machine")
    parser.add_argument("--data", help="the folder that has the data, or memory")
    parser.add_argument("--phone", action="store_true", help="let phones on the LAN reach it")
    parser.add_argument("--provider", action="store_true", help="stand in for Google and Apple")
    given = parser.parse_args()
    # Five digits at most, because int() refuses thousands of them in its own words.
    if not re.fullmatch(r"[0-9]{1,5}", given.port) or not 1 <= int(given.port) <= LAST_PORT:
        raise Refused(f"PORT is a number from 1 to {LAST_PORT}, not {given.port!r}")
    # To a socket an empty name means every address.
    if not given.host:
        raise Refused("HOST is empty")
    if given.public_host and not re.fullmatch(r"[A-Za-z0-9._-]+", given.public_host):
        raise Refused(f"PUBLIC_HOST is a name or an address alone, not {given.public_host!r}")
    host, public_host = given.host, given.public_host
    if given.phone:
        host, public_host = _for_phones(host, public_host)
    folder = None if given.data == MEMORY else Path(given.data or FOLDER)
    return Options(host, int(given.port), public_host, folder, given.phone, given.provider)


def _for_phones(host: str, public_host: str | None) -> tuple[str, str]:
    """Where to listen and under what name, for phones on the LAN; what was said stands."""
    if environment.is_loopback(host):
        host = environment.EVERY_ADDRESS
    public_host = public_host or (lan.address() if host == environment.EVERY_ADDRESS else host)
    if not public_host:
        raise Refused(
            "this machine is on no network. Say by what name a phone reaches it: PUBLIC_HOST="
        )
    return host, public_host


def _is_embedded(environ: dict[str, str]) -> bool:
    """Whether the backend is ours to start. Raises Refused naming a setting that is wrong."""
    if environ.get("RECORDER_BACKEND") != "aws":
        # The AWS settings of this machine are then no concern of ours, not even their mistakes.
        environment.forget_aws(environ)
    try:
        return settings.load(environ).backend == "embedded"
    except settings.SettingsError as error:
        raise Refused(str(error)) from error


def _check_address(options: Options) -> None:
    """Find out before anything is started what the server would fail with. Raises Refused."""
    another = f"Choose another: make run PORT={min(options.port + 1, LAST_PORT)}"
    try:
        with socket.create_server((options.host, options.port)):
            pass
    except PermissionError:
        raise Refused(f"port {options.port} needs privileges. {another}") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            where = f"port {options.port} on {options.host}"
            raise Refused(f"{where} is in use. {another}") from None
        raise Refused(f"HOST is an IPv4 address of this machine, not {options.host!r}") from None


def _banner(
    options: Options, data: backend.Backend | None, provider: Provider | None = None
) -> str:
    """What to know and to try first, once the server answers."""
    lines = [
        "",
        f"  The recorder  {options.url}/",
        f"  The API       {options.url}",
        f"  Its docs      {options.url}/docs",
    ]
    if options.public_host:
        lines.append(f"  For phones    {options.public_url}")
    if options.phone:
        lines += ["", lan.qr_code(options.public_url)]
    if data:
        kept = (
            f"embedded: the data is in {options.folder}"
            if options.folder
            else ("embedded: the data lasts until this stops")
        )
        lines.append(f"  Its S3        {data.url} ({kept})")
        lines.append(f"  Its mail      {data.mail_url} (nothing is sent; it is printed here too)")
        if provider:
            lines.append(
                f"  Its provider  {provider.url} (for Google and Apple, with made-up people)"
            )
        if options.host == environment.EVERY_ADDRESS and not options.public_host:
            lines.append("                (for phones on this network: make run PHONE=1)")
    else:
        lines.append("  Its data      in AWS, because RECORDER_BACKEND is aws")
    return "\n".join([*lines, "", "  Try           " + SIGNUP.format(url=options.url), ""])


if __name__ == "__main__":
    sys.exit(main())
