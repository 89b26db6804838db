"""What can happen to recordings: as it is done to the app, and as it is done to the model.

Another kind of request is another entry in REQUESTS and in MEANINGS.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx

from chalicelib import jobs, wiring
from chalicelib.errors import RecorderError
from tests.conftest import LAMBDA, NO_BYTES
from tests.stateful.model import ELSE, HUGE, SHORT, SOME, Library, Recording, Told, in_parts
from tests.support import shortcut
from tests.support.phone import NO_TLS, Answer, Phone, send_piece

# Of a link that nobody was told of.
NO_CODE = "00000-00000"
OTHERS = {SOME: ELSE, ELSE: SOME, HUGE: SHORT}


class Grant(NamedTuple):
    """How a phone was told to send a recording, and what it means to send."""

    id: str
    data: bytes
    upload: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Something that happens to the recording of a number, or to all; its kind reads the rest."""

    kind: str
    number: int = 0
    device: int = 0
    told: Told = field(default_factory=lambda: Told(SOME))
    mistaken: bool = False
    """Other bytes are sent than were announced; another version is meant than is there."""
    which: int = 0
    version: int | None = None
    offset: int = 0
    sizes: tuple[int, ...] = (2,)
    """Of pieces that are announced."""
    size: int | None = None
    said: str | None = None
    """What a live upload is said to be: how many bytes, and their hash."""
    link: tuple[str, str] = ("", "")
    """The id and the code of a link."""
    grant: Grant | None = None
    arrival: tuple[str, str] | None = None
    """The id and the ETag of an object that S3 tells of."""

    @property
    def id(self) -> str:
        return f"019a8f3e-7c1d-7f00-8a3b-{self.number:012x}"

    @property
    def if_match(self) -> dict[str, str]:
        return {} if self.version is None else {"If-Match": f'"{self.version}"'}

    @property
    def sent(self) -> dict[int | None, bytes]:
        """The bytes that are sent, by the number of their part; what is sent whole has none."""
        if self.grant is None:
            return {}
        if "missing" in self.grant.upload:
            return dict(self._pieces(self.grant))
        data = OTHERS[self.grant.data] if self.mistaken else self.grant.data
        if "parts" not in self.grant.upload:
            return {None: data}
        asked = {part["number"] for part in self.grant.upload["parts"]}
        chosen = asked & {self.which} or asked
        return {number: part for number, part in in_parts(data).items() if number in chosen}

    def _pieces(self, grant: Grant) -> Iterator[tuple[int, bytes]]:
        """What is sent of a live upload: one piece, or each. Nobody records other bytes later."""
        signed = grant.upload["missing"]
        for piece in signed[self.which : self.which + 1] if self.mistaken else signed:
            yield piece["offset"], grant.data[piece["offset"] :][: piece["size"]]


REQUESTS: dict[str, Callable[[Phone, Step], Answer]] = {
    "announce": lambda phone, it: _announce(phone, it),
    "extend": lambda phone, it: phone.announce_pieces(
        it.id, it.offset, *(bytes(size) for size in it.sizes)
    ),
    "receive": lambda phone, it: phone.put_audio(it.id, it.told.data),
    "resume": lambda phone, it: phone.resume(it.id),
    "complete": lambda phone, it: phone.complete(
        it.id, {"size": it.size} | ({"sha256": it.said} if it.said else {}) if it.size else None
    ),
    "revise": lambda phone, it: phone.patch(
        f"/recordings/{it.id}", {"notes": str(it.which)}, headers=it.if_match
    ),
    "restore": lambda phone, it: phone.restore(it.id, it.if_match.get("If-Match")),
    "trash": lambda phone, it: phone.trash(it.id),
    "delete": lambda phone, it: phone.delete_for_good(it.id),
    "share": lambda phone, it: phone.post(f"/recordings/{it.id}/links", {"id": it.link[0]}),
    "take back": lambda phone, it: phone.delete(f"/recordings/{it.id}/links/{it.link[1]}"),
}
# What each does to the model, and how it is answered.
MEANINGS: dict[str, Callable[[Library, Step], str | None]] = {
    "announce": lambda library, it: library.announce(it.id, it.told),
    "receive": lambda library, it: library.receive(it.id, it.told.data),
    "resume": lambda library, it: library.resume(it.id),
    "extend": lambda library, it: library.extend(it.id, it.offset, it.sizes),
    "complete": lambda library, it: library.complete(it.id, it.size, it.said),
    "revise": lambda library, it: library.revise(it.id, str(it.which), it.version),
    "restore": lambda library, it: library.restore(it.id, it.version),
    "trash": lambda library, it: library.delete(it.id, permanent=False),
    "delete": lambda library, it: library.delete(it.id, permanent=True),
    "share": lambda library, it: library.share(it.id, it.link[0]),
    "take back": lambda library, it: library.take_back(it.id, it.link[0]),
    "tell": lambda library, _: library.tell(),
    "notice": lambda library, it: library.notice(it.arrival and it.arrival[0]),
    "keep up": lambda library, _: library.keep_up(),
    "send": lambda *_: "",  # see means()
}


def means(library: Library, step: Step, said: str | None) -> str | None:
    """Do a step to the model; how it is answered, None if that may be one way or another."""
    if step.kind != "send":
        return MEANINGS[step.kind](library, step)
    for part, data in step.sent.items():
        if step.grant and said == "taken":
            library.arrive(step.grant.id, data, part)
    return None


def begin(library: Library, step: Step, *, kept: bool) -> None:
    """Do to the model what is there of a step once its first write is done.

    Of a direct upload its bytes may be `kept` by then, too.
    """
    if step.kind == "announce":
        library.announce(step.id, step.told)
    elif step.kind == "receive":
        library.begin_to_receive(step.id, step.told.data, kept=kept)
    elif step.kind == "complete" and library.goes_on(step.id):
        library.end(step.id, step.size, step.said)


@dataclass
class World:
    """The user's two phones, and what they and S3 remember."""

    phones: list[Phone]
    clock: Callable[[], datetime]
    upload_id: Callable[[str], str | None]
    """S3's name for the multipart upload that is under way for an id."""
    grants: list[Grant] = field(default_factory=list)
    arrivals: list[tuple[str, str]] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    """Of links, by their ids."""

    def bind(self, step: Step, library: Library) -> Step:
        """The step with what its phone, or S3, knows by now, and goes by when it tries again."""
        here = library.all.get(step.id)
        if step.kind == "send":
            # moto does not heed that a URL has expired.
            mine = [it for it in self.grants if it.id == step.id and self._is_good(it.upload)]
            return replace(step, grant=mine[-1 - step.which % len(mine)] if mine else None)
        if step.kind == "notice" and self.arrivals:
            return replace(step, arrival=self.arrivals[-1 - step.which % len(self.arrivals)])
        if step.kind in {"revise", "restore"} and here and (step.mistaken or step.which):
            return replace(step, version=here.version - step.mistaken)
        if step.kind in {"share", "take back"}:
            link = f"019a8f3e-7c1d-7f00-8a3c-{step.number:08x}{step.which:04x}"
            return replace(step, link=(link, self.codes.get(link, NO_CODE)))
        is_told = here and (here.status == "uploading" or step.kind == "complete")
        if here and here.told.is_live and is_told:
            return _of_live(step, here)
        return replace(step, told=here.told) if step.kind == "resume" and here else step

    def do(self, step: Step) -> str:
        """Do a step to the app; how it is answered."""
        if step.kind in REQUESTS:
            return self._ask(step)
        others = {
            "send": self._send,
            "notice": self._notice,
            "tell": self._tell_of_last_pieces,
            "keep up": _keep_up,
        }
        try:
            return others[step.kind](step)
        except RecorderError as error:
            return f"{error.status} {error.code}"

    def _ask(self, step: Step) -> str:
        answer = REQUESTS[step.kind](self.phones[step.device], step)
        if answer.status >= 400:
            return f"{answer.status} {answer.code}"
        if step.kind == "extend":
            pieces = answer.json
            upload = {"method": "live", "missing": pieces["pieces"]} | pieces
            self.grants.append(Grant(step.id, step.told.data, upload))
        elif step.kind == "share":
            self.codes[step.link[0]] = answer.json["code"]
        elif answer.text and (upload := answer.json.get("upload")):
            self.grants.append(Grant(step.id, step.told.data, upload))
        return str(answer.status)

    def _is_good(self, upload: dict[str, Any]) -> bool:
        expires_at = datetime.fromisoformat(upload["expires_at"])
        nothing = [] in (upload.get("parts"), upload.get("missing"))
        return expires_at > self.clock() and not nothing

    def _send(self, step: Step) -> str:
        """Send what was announced, or something else: whole, or a part, or each."""
        if step.grant is None:
            return "nothing to send"
        id, _, upload = step.grant
        if upload["method"] == "live":
            return self._send_pieces(step, upload["missing"])
        if upload["method"] == "multipart":
            urls = {part["number"]: part["url"] for part in upload["parts"]}
            sent = [
                httpx.put(urls[number], content=part, verify=NO_TLS).is_success
                for number, part in step.sent.items()
            ]
            name = httpx.URL(upload["parts"][0]["url"]).params["uploadId"]
            return "taken" if all(sent) and name == self.upload_id(id) else "of no use"
        [data] = step.sent.values()
        if upload["method"] == "put":
            headers = upload["headers"] | {"Content-Length": str(len(data))}
            answer = httpx.put(upload["url"], headers=headers, content=data, verify=NO_TLS)
        else:
            form, file = upload["fields"], {"file": ("x", data)}
            answer = httpx.post(upload["url"], data=form, files=file, verify=NO_TLS)
        assert answer.is_success, answer.text
        self.arrivals.append((id, hashlib.md5(data).hexdigest()))  # noqa: S324 - S3's own
        return "taken"

    def _send_pieces(self, step: Step, signed: list[dict[str, Any]]) -> str:
        """Send pieces, of each of which S3 tells at once."""
        for piece in signed:
            if data := step.sent.get(piece["offset"]):
                send_piece(piece, data)
                etag = hashlib.md5(data).hexdigest()  # noqa: S324 - S3's own
                try:
                    _tell(unquote(urlsplit(piece["url"]).path.split("/", 2)[2]), etag)
                except RecorderError as error:
                    return f"{error.status} {error.code}"
        return "taken"

    def _tell_of_last_pieces(self, _: Step) -> str:
        folder = f"{self.phones[0].user_id}/"
        for name in shortcut.objects(wiring.services().settings.uploads_bucket, folder):
            if name.endswith("-0"):
                _tell(folder + name, NO_BYTES)
        return "done"

    def _notice(self, step: Step) -> str:
        """S3 tells of an object, perhaps late, or again."""
        if step.arrival:
            id, etag = step.arrival
            _tell(f"{self.phones[0].user_id}/{id}", etag)
        return "done"


def _announce(phone: Phone, step: Step) -> Answer:
    if step.told.is_live:
        return phone.announce_live(id=step.id, content_type="audio/mp4")
    return phone.announce(step.told.data, id=step.id, **step.told.fields)


def _of_live(step: Step, here: Recording) -> Step:
    """The step with what a phone knows that records."""
    data, reach = here.told.data, here.reach
    if step.kind == "announce" and step.told.is_live:
        return replace(step, told=here.told)
    if step.kind == "complete":
        said = data[:reach] if here.told.hashed else None
        wrong = step.mistaken and step.which
        size = max(reach - 1, 1) if wrong == 1 else reach + (wrong == 2)
        if said and wrong == 3:
            said = OTHERS[data]
        hashed = hashlib.sha256(said).hexdigest() if said else None
        return replace(step, size=size or 1, said=hashed)
    if step.kind == "extend":
        step = replace(step, told=here.told)
        if step.mistaken:  # Another phone goes on from elsewhere, or has not heard how far it is.
            return replace(step, offset=max(reach - 1, 0), sizes=(1 + step.which % 3,))
        if left := len(data) - reach:
            first = min(left, (4, 6, 2, left)[step.which])
            sizes = (first, left - first) if left > first and step.which != 2 else (first,)
            return replace(step, offset=reach, sizes=sizes)
        return replace(step, offset=step.which, sizes=(1, max(reach - step.which - 1, 1)))
    return replace(step, told=here.told) if step.kind == "resume" else step


def _tell(key: str, etag: str) -> None:
    bucket = {"name": wiring.services().settings.uploads_bucket}
    found = {"bucket": bucket, "object": {"key": key, "etag": etag}}
    jobs.notice({"detail": found}, LAMBDA)


def _keep_up(step: Step) -> str:
    """A run of upkeep, perhaps after one that was over before everything was done."""
    looks, upkeep = itertools.count(), wiring.services().upkeep
    if step.which:
        upkeep.run(lambda: next(looks) < step.which - 1)
    return "put off" if upkeep.run().failed else "done"
