"""How a phone on the same network reaches this machine."""

from __future__ import annotations

import io
import socket

# An address for documentation (RFC 5737). Nothing is sent to it: a datagram socket that is
# connected only knows by which of this machine's addresses it would go there.
ELSEWHERE = ("192.0.2.1", 9)


def address() -> str | None:
    """The address of this machine on its network; None when it is on none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(ELSEWHERE)
        except OSError:
            return None
        found = str(asking.getsockname()[0])
    return None if found.startswith(("127.", "0.")) else found


def qr_code(text: str) -> str:
    """A QR code to print in a terminal, for a phone's camera."""
    # Only PHONE=1 needs it.
    import segno

    printed = io.StringIO()
    segno.make(text, micro=False).terminal(printed, compact=True)
    return printed.getvalue()
