"""Where the embedded backend keeps its data: rows in one SQLite file, and beside it bytes in files.

A save is one transaction, on the disk when it returns. Table and buckets are in one file, and bytes
are on the disk before the row that names them: so whatever ends the process or the machine, what
is found afterwards is what there was at some moment, and never before the last answer.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from threading import Lock
from typing import IO, Any

# The format of the rows. A change of it is migrated here, or refused in _check_format.
FORMAT = 1
FILE = "data.sqlite"
BYTES = "bytes"
# Anything smaller is read into memory.
SPOOLED_BYTES = 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{32}(?:\.part)?")


class NotUsable(Exception):
    """The data cannot be used; the message says why and what to do, in one line."""


class Blob(mmap.mmap):
    """The bytes of a file of ours, read from there as they are needed."""

    path: Path


class Disk:
    """The data in one folder, for this process alone."""

    def __init__(self, folder: Path) -> None:
        """Open the data, or make it.

        Raises NotUsable when another process has it open, or it is of a format that this code does
        not know.
        """
        self._bytes = folder / BYTES
        self._lock = Lock()
        self._named: dict[tuple[str, str], set[str]] = {}
        try:
            # There are secrets in it, and people's recordings.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._bytes.mkdir(exist_ok=True, mode=0o700)
            self._rows = self._open(folder / FILE)
        except OSError as error:
            raise NotUsable(f"the data cannot be kept in {folder}: {error.strerror}") from error
        except sqlite3.OperationalError as error:
            raise NotUsable(
                f"the data in {folder} is in use by another `make run`. "
                "Choose another: make run DATA=<folder>, or DATA=memory"
            ) from error
        except sqlite3.DatabaseError as error:
            raise NotUsable(
                f"the data in {folder} cannot be read: {error}. Forget it: make reset"
            ) from error
        self._check_format(folder)

    def rows(self, kind: str) -> Iterator[tuple[str, Any]]:
        """All rows of a kind."""
        for key, text in self._rows.execute("SELECT key, value FROM rows WHERE kind = ?", (kind,)):
            value = json.loads(text)
            self._named[kind, key] = set(_names(value))
            yield key, value

    def save(self, kind: str, changed: Mapping[str, Any]) -> None:
        """Keep these rows; None removes one. What bytes they named, and name no more, go too."""
        if not changed:
            return
        with self._lock:
            with self._rows:
                for key, value in changed.items():
                    self._write(kind, key, value)
            for key, value in changed.items():
                named = set(_names(value))
                for name in self._named.get((kind, key), set()) - named:
                    (self._bytes / name).unlink(missing_ok=True)
                self._named[kind, key] = named

    def setting(self, name: str, make: Callable[[], str]) -> str:
        """A value that is made once and kept."""
        found = self._rows.execute(
            "SELECT value FROM rows WHERE kind = 'setting' AND key = ?", (name,)
        ).fetchone()
        if found:
            return str(json.loads(found[0]))
        value = make()
        self.save("setting", {name: value})
        return value

    def keep(self, data: bytes | Blob) -> str:
        """Keep bytes under the name that this returns, to be named in a row as {"blob": name}."""
        name = secrets.token_hex(16)
        if isinstance(data, Blob):
            # What is in a file of ours already is never changed, so two names may share it.
            os.link(data.path, self._bytes / name)
        else:
            with (self._bytes / name).open("xb") as file:
                file.write(data)
                _flush(file)
        self._flush_folder()
        return name

    def read(self, name: str) -> bytes | Blob:
        """What was kept under a name."""
        return _map(self._bytes / name)

    def receive(self, source: BufferedIOBase, size: int) -> bytes | Blob:
        """Read `size` bytes, or fewer if there are no more; into memory only if they are few."""
        if size < SPOOLED_BYTES:
            return source.read(size)
        path = self._bytes / f"{secrets.token_hex(16)}.part"
        try:
            with path.open("xb") as file:
                while size and (read := source.read(min(size, SPOOLED_BYTES))):
                    file.write(read)
                    size -= len(read)
                _flush(file)
            return _map(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def release(self, data: bytes | Blob) -> None:
        """Forget the file of what was received; where it was kept, it has another name by now."""
        if isinstance(data, Blob):
            data.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the bytes that no row names, once all rows were read and before any is saved."""
        named = {name for names in self._named.values() for name in names}
        for path in _kept_in(self._bytes):
            if path.name not in named:
                path.unlink()

    def close(self) -> None:
        """Let another process have the data."""
        with self._lock:
            self._rows.close()

    def _open(self, path: Path) -> sqlite3.Connection:
        # What SQLite makes beside it may be read by whoever may read this.
        path.touch(mode=0o600)
        path.chmod(0o600)
        rows = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            # The lock on the file is ours until the process ends, however that comes about.
            rows.execute("PRAGMA locking_mode = EXCLUSIVE")
            rows.execute("PRAGMA journal_mode = WAL")
            rows.execute("PRAGMA synchronous = FULL")
            # On macOS a disk's own cache counts as flushed otherwise.
            rows.execute("PRAGMA fullfsync = ON")
            rows.execute("BEGIN IMMEDIATE")
            rows.execute(
                "CREATE TABLE IF NOT EXISTS rows (kind TEXT, key TEXT, value TEXT NOT NULL,"
                " PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            rows.commit()
        except sqlite3.DatabaseError:
            rows.close()
            raise
        return rows

    def _check_format(self, folder: Path) -> None:
        found = int(self.setting("format", lambda: str(FORMAT)))
        if found != FORMAT:
            self.close()
            raise NotUsable(
                f"the data in {folder} is of format {found}, and this code reads {FORMAT}. "
                f"Use the version that wrote it, or forget the data: make reset DATA={folder}"
            )

    def _write(self, kind: str, key: str, value: Any) -> None:
        if value is None:
            self._rows.execute("DELETE FROM rows WHERE kind = ? AND key = ?", (kind, key))
        else:
            text = json.dumps(value)
            self._rows.execute("REPLACE INTO rows VALUES (?, ?, ?)", (kind, key, text))

    def _flush_folder(self) -> None:
        """A file is there after a power cut only if its folder was flushed, too."""
        folder = os.open(self._bytes, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def forget(folder: Path) -> None:
    """Remove the data in a folder, and nothing else there. Raises NotUsable while it is in use."""
    if (folder / FILE).exists():
        try:
            Disk(folder).close()
        except NotUsable as error:
            if "in use" in str(error):
                raise
    for path in [*folder.glob(f"{FILE}*"), *_kept_in(folder / BYTES)]:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # It is not there, or has what is not ours.
        (folder / BYTES).rmdir()


def _kept_in(folder: Path) -> list[Path]:
    """The files there that are called as those that were kept or received."""
    return [path for path in folder.glob("*") if _NAME.fullmatch(path.name)]


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _map(path: Path) -> bytes | Blob:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return b""
        blob = Blob(file.fileno(), 0, access=mmap.ACCESS_READ)
    blob.path = path
    return blob


def _names(value: Any) -> Iterator[str]:
    """The names of the bytes that a row names, at whatever depth."""
    if isinstance(value, dict):
        if isinstance(value.get("blob"), str):
            yield value["blob"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _names(each)
