"""What a user of the client that openapi-python-client generated does, against RECORDER_URL."""

from __future__ import annotations

import os
import uuid

import httpx
from recorder_api_client import AuthenticatedClient, Client
from recorder_api_client.api.accounts import sign_up
from recorder_api_client.api.recordings import delete_recording, get_recording, list_recordings
from recorder_api_client.api.uploads import begin_upload, complete_upload
from recorder_api_client.models import (
    MultipartUpload,
    NewRecording,
    Problem,
    PutUpload,
    SignUp,
)

BASE = os.environ["RECORDER_URL"]
SIZES = {"put": 1000, "multipart": 9 * 1024 * 1024}


def main() -> None:
    """Sign up, upload by PUT and in parts, list, play and delete."""
    address = f"{uuid.uuid4()}@example.com"
    body = SignUp(email=address, password="battery staple, correctly")
    signed_up = sign_up.sync(client=Client(BASE), body=body)
    client = AuthenticatedClient(BASE, signed_up.access_token)
    for method, size in SIZES.items():
        there_and_back(client, method, bytes(at * 31 % 251 for at in range(size)))


def there_and_back(client: AuthenticatedClient, method: str, data: bytes) -> None:
    """Have a recording come, play and go."""
    new = NewRecording(
        file_name=f"{method}.m4a",
        content_type="audio/mp4",
        size=len(data),
        upload_method=method,
    )
    begun = begin_upload.sync(client=client, body=new)
    send(begun.upload, data)
    id = begun.recording.id
    assert complete_upload.sync(id, client=client).status == "ready"
    assert id in [each.id for each in list_recordings.sync(client=client, limit=10).recordings]
    found = get_recording.sync(id, client=client)
    assert httpx.get(found.audio.url, trust_env=False).content == data
    assert delete_recording.sync_detailed(id, client=client, permanent=True).status_code == 204
    gone = get_recording.sync(id, client=client)
    assert isinstance(gone, Problem)
    assert gone.code == "not_found"


def send(upload: object, data: bytes) -> None:
    """Send bytes to S3 as `upload` says."""
    if isinstance(upload, PutUpload):
        headers = upload.headers.to_dict()
        httpx.put(upload.url, content=data, headers=headers, trust_env=False).raise_for_status()
    else:
        assert isinstance(upload, MultipartUpload)
        for part in upload.parts:
            start = (part.number - 1) * upload.part_size
            body = data[start : start + part.size]
            httpx.put(part.url, content=body, trust_env=False).raise_for_status()


main()
