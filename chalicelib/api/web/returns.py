"""The page that a provider sends a browser back to: it hands on what was said, and is gone.

By Google what is said stands behind the `#` of the address, by Apple in a form. Either way it is
put where only this tab's pages of this API see it, and the recorder opens, which looks whether it
is an answer to what it has asked.
"""

from __future__ import annotations

from msgspec import structs

from chalicelib.api.http import Reply
from chalicelib.api.web.pages import page_about
from chalicelib.models.requests import ProviderAnswer


def page_of(said: ProviderAnswer) -> Reply:
    """The page, with what came in a form."""
    return page_about("returned", **structs.asdict(said))
