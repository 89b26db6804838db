"""What the pages load from this API: text files, each in a folder whose name changes with them.

So a browser may keep them for ever. `recorder-<hash>` is ours, the hash being of all that is in
it, since its modules load each other; the others are libraries under their versions.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
RECORDER = HERE / "recorder"
# As npm has it, byte for byte; tests/api/test_web_files.py has its hash.
WAVESURFER = HERE / "wavesurfer-8.0.1"
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
}


@cache
def recorder() -> str:
    """The name of our own folder."""
    digest = sha256()
    for path in _served(RECORDER):
        # Names too: what one file says is another thing under another name.
        digest.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    return f"recorder-{digest.hexdigest()[:12]}"


@cache
def swagger_ui() -> str | None:
    """The name of Swagger UI's folder, where it is installed: never where this is deployed."""
    folder = _swagger_ui()
    return folder.name if folder else None


def find(folder: str, name: str) -> Path | None:
    """The file of that name, if pages load one."""
    return next((path for path in _served(_folders().get(folder)) if path.name == name), None)


def modules() -> list[str]:
    """The names of our own scripts."""
    return [path.name for path in _served(RECORDER) if path.suffix == ".js"]


@cache
def _folders() -> dict[str, Path]:
    folders = {recorder(): RECORDER, WAVESURFER.name: WAVESURFER}
    if installed := _swagger_ui():
        folders[installed.name] = installed
    return folders


def _served(folder: Path | None) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in TYPES) if folder else []


def _swagger_ui() -> Path | None:
    """Where the package swagger-ui-bundle-v2 has it, which is not imported."""
    found = find_spec("swagger_ui_bundle")
    places = found.submodule_search_locations if found else None
    return next(
        (at for place in places or () for at in Path(place).glob("vendor/swagger-ui-*")), None
    )
