"""What browsers' upload libraries send, by the key that the stage signs with for them."""

from __future__ import annotations

import re

from chalicelib.wiring import now
from tests.deployed.jobs import UPLOADS, Deployed
from tests.deployed.people import Person, hashed, noise
from tests.deployed.stages import STACK
from tests.support.fine_uploader import FineUploader

PART_BYTES = 5 * 1024 * 1024
SIGN = "/uploads/sign?v4=true"


def key_of(on: Deployed) -> str:
    """The name of the key that signs, which pages have to give."""
    [stack] = on.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    return str(outputs["UploadKeyId"])


def page_of(on: Deployed, person: Person) -> FineUploader:
    """A page of somebody's, with such a library on it."""
    endpoint = f"{on.stage.emulator.url}/{UPLOADS}"
    return FineUploader(person.id, endpoint, UPLOADS, key_of(on), now)


def send_small(on: Deployed, person: Person) -> None:
    """Send a small file, which is a form."""
    data = noise(3000)
    page, id = page_of(on, person), person.announce(data)["recording"]["id"]
    asked = page.policy(id)
    signed = person.ask("POST", SIGN, json=asked)
    form = {"data": page.form(asked, signed), "files": {"file": ("x", data)}}
    on.api.fetch("POST", page.endpoint, 200, **form)
    _complete(person, id, data)


def is_signed_for(on: Deployed, person: Person) -> bool:
    """Whether the API knows the key that signs now."""
    id = person.announce(noise(100))["recording"]["id"]
    asked = page_of(on, person).policy(id)
    return on.api.ask("POST", SIGN, 0, json=asked, headers=person.header).status_code == 200


def send_large(on: Deployed, person: Person) -> None:
    """Send a large file, which is an upload in parts."""
    data = noise(PART_BYTES + 1000)
    page, id = page_of(on, person), person.announce(data)["recording"]["id"]

    def send(text: str, body: bytes = b"") -> str:
        signed = person.ask("POST", SIGN, json={"headers": text})
        method, path, query = text.split("\n")[3:6]
        headers = page.headers(text, signed)
        answer = on.api.fetch(
            method, f"{page.endpoint}{path}?{query}", content=body, headers=headers
        )
        return answer.headers.get("ETag") or answer.text

    [upload_id] = re.findall("<UploadId>(.+)</UploadId>", send(page.beginning(id)))
    parts = []
    for number, body in enumerate((data[:PART_BYTES], data[PART_BYTES:]), start=1):
        query = f"partNumber={number}&uploadId={upload_id}"
        etag = send(page.request("PUT", id, query, hashed(body)), body)
        parts.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    whole = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
    send(page.request("POST", id, f"uploadId={upload_id}", hashed(whole)), whole)
    _complete(person, id, data)


def _complete(person: Person, id: str, data: bytes) -> None:
    """As the library's own request on success does, with a form of what it knows."""
    said = {"key": f"{person.id}/{id}", "uuid": "1", "name": "clip.m4a", "bucket": UPLOADS}
    assert person.ask("POST", f"/recordings/{id}/complete", data=said)["status"] == "ready"
    assert person.play(id).content == data
