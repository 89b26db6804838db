"""An example client. Whatever stops it costs little: run it again, and it goes on from there.

    export RECORDER_EMAIL=ann@example.com RECORDER_PASSWORD='correct horse battery'
    python examples/recorder_client.py --signup upload talk.m4a   # prints the recording's id
    python examples/recorder_client.py --follow upload talk.aac   # while it is still written
    python examples/recorder_client.py download ID [OUT]

The API says what to do; the bytes go straight to S3 and come from there. Every call can be made
again, so one thing helps in all trouble, from an expired URL to an empty battery: begin again.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

MIB = 1024 * 1024
AGAIN = ("upload_incomplete", "upload_mismatch", "offset_conflict", "not_ready")  # Look again.
TYPES = {"m4a": "mp4", "mp3": "mpeg", "3gp": "3gpp", "caf": "x-caf"}  # Others have their own name.


def upload(api: "Api", path: Path) -> None:
    """Upload a file, but for what was done before."""
    new = announcement(path, told_of(path))
    api.call("POST", "/recordings", new)  # 201; or 200, and nothing changes, if it was done before.
    if todo := api.call("GET", f"/recordings/{new['id']}/upload")["upload"]:  # null: it is ready.
        send(api.http, todo, path)
    api.call("POST", f"/recordings/{new['id']}/complete")  # 200, also if it was done before.
    print(new["id"])


def follow(api: "Api", path: Path, seconds: float) -> None:
    """Send a file while it is written, until it has not grown for so many seconds."""
    began = time.time()
    while not (path.exists() and path.stat().st_size):  # Nothing is announced of what is not there.
        if time.time() - began > seconds:
            sys.exit(f"There is nothing in {path}")
        time.sleep(seconds / 4)
    new = announcement(path, {"upload_method": "live"})
    api.call("POST", "/recordings", new)
    here = f"/recordings/{new['id']}"
    while todo := api.call("GET", f"{here}/upload")["upload"]:  # What was lost, and where to go on.
        at, end, pieces = todo["offset"], path.stat().st_size, todo["missing"]
        sizes = [min(MIB, end - start) for start in range(at, end, MIB)][:50]
        if sizes:  # What was recorded since. An app that knows its offset need not ask for it.
            announced = {"offset": at, "pieces": [{"size": size} for size in sizes]}
            pieces += api.call("POST", f"{here}/pieces", announced)["pieces"]
        if pieces:
            send(api.http, {"parts": pieces}, path)
        elif time.time() - path.stat().st_mtime > seconds:
            api.call("POST", f"{here}/complete", {"size": at})  # 202 until a long one is together.
        time.sleep(seconds / 4)
    there = api.call("GET", here)["size"]
    note_of(path).unlink(missing_ok=True)
    if there < path.stat().st_size:  # It was taken for ended: this program was silent for a day.
        print(f"{new['id']} ended at {there} bytes: all of it is sent anew", file=sys.stderr)
        follow(api, path, seconds)
    else:
        print(new["id"])


def told_of(path: Path) -> dict[str, Any]:
    """What is known of a file that is whole."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    method = "multipart" if size >= 16 * MIB else "put"  # Two parts at least.
    return {"size": size, "sha256": sha256, "upload_method": method}


def note_of(path: Path) -> Path:
    """Where it is noted what the API was told. An app has a database for this."""
    return path.with_name(f"{path.name}.recording.json")


def announcement(path: Path, told: dict[str, Any]) -> Any:
    """What the API is told of a file: the same each time, however often this program dies."""
    note = note_of(path)
    if note.exists() and told.items() <= (noted := json.loads(note.read_text())).items():
        return noted
    time_ms, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(9).hex()
    suffix = path.suffix[1:].lower()
    new = (
        {  # With an id that is a UUIDv7: the time, then random digits.
            "id": f"{time_ms[:8]}-{time_ms[8:]}-7{random[:3]}-8{random[3:6]}-{random[6:]}",
            "file_name": path.name,
            "content_type": f"audio/{TYPES.get(suffix, suffix)}",
        }
        | told
    )
    note.with_suffix(".new").write_text(json.dumps(new))
    note.with_suffix(".new").replace(note)  # All of it or nothing, before anybody hears of the id.
    return new


def send(http: httpx.Client, todo: Any, path: Path) -> None:
    """Send S3 the parts that it lacks, by fresh URLs. A file that goes whole is its only part."""
    parts = todo.get("parts", [todo | {"number": 1, "size": path.stat().st_size}])
    there = len(todo.get("uploaded", ()))

    def put(part: Any) -> None:
        with path.open("rb") as file:
            file.seek(part.get("offset", (part.get("number", 1) - 1) * todo.get("part_size", 0)))
            # Read as it is sent. S3 wants the length that is signed, and says 403 to an old URL.
            pieces = (file.read(min(MIB, part["size"] - at)) for at in range(0, part["size"], MIB))
            headers = part.get("headers", {"Content-Length": str(part["size"])})
            http.put(part["url"], headers=headers, content=pieces).raise_for_status()

    with ThreadPoolExecutor(4) as pool:
        for sent, _ in enumerate(pool.map(put, parts), 1):
            show(there + sent, there + len(parts))


def download(api: "Api", recording_id: str, out: str | None) -> None:
    """Download a recording, but for what was done before."""
    recording = api.call("GET", f"/recordings/{recording_id}")
    audio = recording.get("audio") or sys.exit(f"The recording is {recording['status']}")
    path, size = Path(out or recording["file_name"]), recording["size"]
    part = path.with_name(f"{recording['id']}.part")  # The beginning: what is ready never changes.
    with part.open("a+b") as file:
        if (at := file.tell()) < size:
            with api.http.stream("GET", audio["url"], headers={"Range": f"bytes={at}-"}) as answer:
                for piece in answer.raise_for_status().iter_raw():
                    file.write(piece)
                    show(file.tell(), size)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != recording.get("sha256", sha256):
        part.unlink()
        sys.exit("What came is not what was recorded")
    part.replace(path)


def show(done: int, total: int) -> None:
    """Draw how far it is, on a terminal."""
    if sys.stderr.isatty():
        bar, end = "#" * (40 * done // total), "\n" if done == total else ""
        print(f"\r[{bar:40}] {done / total:4.0%}", end=end, file=sys.stderr, flush=True)


class Api:
    """The API, to somebody who is logged in. The token is for it alone: S3 would refuse it."""

    def __init__(self, url: str, way_in: str) -> None:
        self.http, self.tokens = httpx.Client(base_url=url, timeout=60), dict[str, str]()
        who = {name: os.environ[f"RECORDER_{name.upper()}"] for name in ("email", "password")}
        self.tokens = self.call("POST", f"/auth/{way_in}", who)  # An app keeps these.

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to one call. What is refused for good ends the program."""
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"} if self.tokens else {}
        answer = self.http.request(method, path, json=body, headers=headers)
        code = answer.json().get("code") if answer.is_client_error else None
        if code == "token_expired":  # It lasts for minutes.
            token = self.tokens["refresh_token"]
            self.tokens = self.call("POST", "/auth/refresh", {"refresh_token": token})
            return self.call(method, path, body)
        if code == "email_taken":  # The program died after it had signed up.
            return self.call("POST", "/auth/login", body)
        if answer.is_client_error and code not in AGAIN:
            sys.exit(answer.text)
        return answer.raise_for_status().json()


def main() -> None:
    """Begin, and begin again until it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", default="http://127.0.0.1:8000")
    parser.add_argument("--signup", action="store_const", const="signup", default="login")
    parser.add_argument("--follow", action="store_true", help="the file is still written")
    parser.add_argument("--seconds", type=float, default=20, help="without growth are its end")
    parser.add_argument("command", choices=["upload", "download"])
    parser.add_argument("what", help="the file to upload, or the id of the recording")
    parser.add_argument("out", nargs="?", help="the file to download to")
    given, api, wait = parser.parse_args(), None, 0.25
    while True:
        try:
            api = api or Api(given.api, given.signup)
            if given.command == "upload" and given.follow:
                return follow(api, Path(given.what), given.seconds)
            if given.command == "upload":
                return upload(api, Path(given.what))
            return download(api, given.what, given.out)
        except FileNotFoundError as error:
            sys.exit(str(error))
        except httpx.HTTPError as error:
            print(f"\n{getattr(error, 'response', error)!r}: trying again", file=sys.stderr)
            time.sleep(wait := min(2 * wait, 30))


if __name__ == "__main__":
    main()
