"""What can happen to recordings: as it is done to the app, and as it is done to the model.

Another kind of request is another entry in REQUESTS and in MEANINGS.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from chalicelib import jobs, wiring
from chalicelib.errors import RecorderError
from tests.conftest import LAMBDA
from tests.stateful.model import ELSE, HUGE, SHORT, SOME, Library, Told, in_parts
from tests.support.phone import NO_TLS, Answer, Phone

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
        data = OTHERS[self.grant.data] if self.mistaken else self.grant.data
        if "parts" not in self.grant.upload:
            return {None: data}
        asked = {part["number"] for part in self.grant.upload["parts"]}
        chosen = asked & {self.which} or asked
        return {number: part for number, part in in_parts(data).items() if number in chosen}


REQUESTS: dict[str, Callable[[Phone, Step], Answer]] = {
    "announce": lambda phone, it: phone.announce(it.told.data, id=it.id, **it.told.fields),
    "receive": lambda phone, it: phone.put_audio(it.id, it.told.data),
    "resume": lambda phone, it: phone.resume(it.id),
    "complete": lambda phone, it: phone.complete(it.id),
    "revise": lambda phone, it: phone.patch(
        f"/recordings/{it.id}", {"notes": str(it.which)}, headers=it.if_match
    ),
    "restore": lambda phone, it: phone.restore(it.id, it.if_match.get("If-Match")),
    "trash": lambda phone, it: phone.trash(it.id),
    "delete": lambda phone, it: phone.delete_for_good(it.id),
}
# What each does to the model, and how it is answered.
MEANINGS: dict[str, Callable[[Library, Step], str]] = {
    "announce": lambda library, it: library.announce(it.id, it.told),
    "receive": lambda library, it: library.receive(it.id, it.told.data),
    "resume": lambda library, it: library.resume(it.id),
    "complete": lambda library, it: library.complete(it.id),
    "revise": lambda library, it: library.revise(it.id, str(it.which), it.version),
    "restore": lambda library, it: library.restore(it.id, it.version),
    "trash": lambda library, it: library.delete(it.id, permanent=False),
    "delete": lambda library, it: library.delete(it.id, permanent=True),
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


@dataclass
class World:
    """The user's two phones, and what they and S3 remember."""

    phones: list[Phone]
    clock: Callable[[], datetime]
    upload_id: Callable[[str], str | None]
    """S3's name for the multipart upload that is under way for an id."""
    grants: list[Grant] = field(default_factory=list)
    arrivals: list[tuple[str, str]] = field(default_factory=list)

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
        return replace(step, told=here.told) if step.kind == "resume" and here else step

    def do(self, step: Step) -> str:
        """Do a step to the app; how it is answered."""
        if step.kind == "send":
            return self._send(step)
        try:
            if step.kind == "notice":
                return self._notice(step)
            if step.kind == "keep up":
                return _keep_up(step)
        except RecorderError as error:
            return f"{error.status} {error.code}"
        answer = REQUESTS[step.kind](self.phones[step.device], step)
        if answer.status >= 400:
            return f"{answer.status} {answer.code}"
        if answer.text and (upload := answer.json.get("upload")):
            self.grants.append(Grant(step.id, step.told.data, upload))
        return str(answer.status)

    def _is_good(self, upload: dict[str, Any]) -> bool:
        expires_at = datetime.fromisoformat(upload["expires_at"])
        return expires_at > self.clock() and upload.get("parts") != []

    def _send(self, step: Step) -> str:
        """Send what was announced, or something else: whole, or a part, or each."""
        if step.grant is None:
            return "nothing to send"
        id, _, upload = step.grant
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

    def _notice(self, step: Step) -> str:
        """S3 tells of an object, perhaps late, or again."""
        if step.arrival:
            id, etag = step.arrival
            found = {"key": f"{self.phones[0].user_id}/{id}", "etag": etag}
            bucket = {"name": wiring.services().settings.uploads_bucket}
            jobs.notice({"detail": {"bucket": bucket, "object": found}}, LAMBDA)
        return "done"


def _keep_up(step: Step) -> str:
    """A run of upkeep, perhaps after one that was over before everything was done."""
    looks, upkeep = itertools.count(), wiring.services().upkeep
    if step.which:
        upkeep.run(lambda: next(looks) < step.which - 1)
    return "put off" if upkeep.run().failed else "done"
