"""The same by FastAPI and Mangum, with a model for each answer, as its users write it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request
from mangum import Mangum
from pydantic import BaseModel

from benchmarks.handlers import bare


class Recording(BaseModel):
    id: str
    file_name: str = ""
    content_type: str
    size: int
    status: str
    version: int
    tags: list[str]
    created_at: str
    updated_at: str = ""
    sha256: str | None = None


class New(BaseModel):
    id: str
    file_name: str
    content_type: str
    size: int


class NewOnes(BaseModel):
    recordings: list[New]


class Begun(BaseModel):
    recording: Recording
    upload: dict[str, str]


class BegunOnes(BaseModel):
    recordings: list[Begun]


class Page(BaseModel):
    recordings: list[Recording]
    next: str | None


class Playable(Recording):
    audio: dict[str, str]


def caller(authorization: Annotated[str, Header()]) -> str:
    return bare.caller(authorization.partition(" ")[2])


Caller = Annotated[str, Depends(caller)]
app = FastAPI()


@app.get("/recordings")
def list_recordings(user: Caller, limit: int = 50) -> Page:
    return Page.model_validate(bare.list_recordings(user, limit))


@app.get("/recordings/{id}")
def find(user: Caller, id: str) -> Playable:
    return Playable.model_validate(bare.find(user, id))


@app.post("/recordings")
def announce(user: Caller, new: New) -> Begun:
    return Begun.model_validate(bare.announce(user, [new.model_dump()])[0])


@app.post("/recordings/batch")
def announce_all(user: Caller, new: NewOnes) -> BegunOnes:
    begun = bare.announce(user, [each.model_dump() for each in new.recordings])
    return BegunOnes.model_validate({"recordings": begun})


@app.post("/recordings/{id}/complete")
def complete(user: Caller, id: str) -> Recording:
    return Recording.model_validate(bare.complete(user, id))


@app.put("/recordings/{id}/audio")
async def receive(user: Caller, id: str, request: Request) -> Recording:
    return Recording.model_validate(bare.receive(user, id, await request.body()))


handler: Any = Mangum(app, lifespan="off")
