"""The page that shows the API's description, by Swagger UI."""

from __future__ import annotations

from chalicelib.api.http import Reply
from chalicelib.api.web import files
from chalicelib.api.web.pages import page

CDN = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
# Change the version and both hashes together: they are of the files in
# `npm pack swagger-ui-dist@VERSION`, which the CDN serves unmodified, each by
# `openssl dgst -sha384 -binary FILE | base64`.
STYLE = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
SCRIPT = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"


def docs() -> Reply:
    """The page, with Swagger UI from here where it is installed: a laptop may be on no network."""
    folder = files.swagger_ui()
    return from_here(folder) if folder else from_cdn()


def from_here(folder: str) -> Reply:
    """The page that loads what this API serves itself."""
    # No stage is in front of the paths of a laptop's.
    return page("docs", source=f"/web/{folder}", style="", script="")


def from_cdn() -> Reply:
    """The page that loads one exact version from elsewhere."""
    return page("docs", source=CDN, style=_pinned(STYLE), script=_pinned(SCRIPT))


def _pinned(digest: str) -> str:
    return f' integrity="{digest}" crossorigin="anonymous" referrerpolicy="no-referrer"'
