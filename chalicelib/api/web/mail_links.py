"""The pages that links in mails open, for people whose phone does not open the app itself.

Each posts what it was given to its own address. The token stands behind the `#` of the link, which
a browser sends to nobody: not to us, so it is in no log, and not to who is linked to.
"""

from __future__ import annotations

from typing import Final

from chalicelib.api.http import Reply
from chalicelib.api.web.swagger import inline

_STYLE: Final = """
:root { color-scheme: light dark; }
body { margin: 4rem auto; max-width: 24rem; padding: 0 1rem; font: 1rem/1.5 sans-serif; }
input, button { box-sizing: border-box; width: 100%; padding: .6rem; margin: .5rem 0; }
input, button { font: inherit; }
"""
_SCRIPT: Final = """
const form = document.querySelector("form");
const outcome = document.getElementById("outcome");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = Object.fromEntries(new FormData(form));
  body.token = location.hash.slice(1);
  try {
    const answer = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    form.hidden = answer.ok;
    outcome.textContent = answer.ok ? form.dataset.done : (await answer.json()).detail;
  } catch {
    outcome.textContent = "There was no answer. Try again.";
  }
});
"""
_FIELD: Final = (
    '<input name="new_password" type="password" autocomplete="new-password" minlength="8" required'
    ' aria-label="New password" placeholder="New password, 8 characters or more">'
)


def _page(title: str, field: str, button: str, done: str) -> str:
    # A button, since programs that check mails for viruses open every link.
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Recorder: {title}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<form data-done="{done}">{field}<button>{button}</button></form>
<p id="outcome" role="status"></p>
<noscript><p>This page needs JavaScript.</p></noscript>
<script>{_SCRIPT}</script>
</body>
</html>
"""


RESET: Final = _page(
    "Set a new password",
    _FIELD,
    "Set",
    "It is set. Every device was logged out: log in with it.",
)
CONFIRMATION: Final = _page("Confirm your address", "", "Confirm", "It is confirmed.")

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"script-src {inline(_SCRIPT)}",
        f"style-src {inline(_STYLE)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def reply(page: str) -> Reply:
    """A page as it is answered."""
    return Reply(page, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
