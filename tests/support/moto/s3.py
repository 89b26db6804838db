"""What is mended of moto's S3: requests keep out of each other, and conditions of copies hold.

Done once per process, and only when the environment is safe to import moto in.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from moto.s3.responses import S3Response


@functools.cache
def keep_promises() -> None:
    """Have moto's server do what S3 does where completions meet: see _check.

    One request at a time, because moto checks and then writes, and reads objects that another
    thread may be disposing of. As they do, nothing has to be copied for a list of versions: moto
    would copy each object of the bucket, bytes and all.
    """
    from moto.s3.models import FakeKey
    from moto.s3.responses import S3Response

    FakeKey.__deepcopy__ = lambda key, _memo: key  # type: ignore[attr-defined]

    lock = threading.Lock()

    def one_at_a_time(name: str, checked: bool) -> None:
        original = getattr(S3Response, name)

        def answer(response: S3Response, request: Any, full_url: str) -> Any:
            with lock:
                if checked:
                    _check(response, request, full_url)
                return original(response, request, full_url)

        setattr(S3Response, name, answer)

    one_at_a_time("_key_response", checked=True)
    one_at_a_time("_bucket_response", checked=False)


def _check(response: S3Response, request: Any, full_url: str) -> None:
    """Refuse a copy whose conditions do not hold, and parts of an upload that is gone."""
    from moto.s3.exceptions import NoSuchUpload, PreconditionFailed

    bucket = response.parse_bucket_name_from_url(request, full_url)
    query = parse_qs(urlsplit(full_url).query)
    upload_id = query.get("uploadId", [""])[0]
    if upload_id and request.method in {"PUT", "POST"}:
        if upload_id not in response.backend.get_bucket(bucket).multiparts:
            raise NoSuchUpload(upload_id=upload_id)
    elif source := request.headers.get("x-amz-copy-source"):
        from_bucket, _, from_key = unquote(source).lstrip("/").partition("/")
        found = response.backend.get_object(from_bucket, from_key)
        expected = request.headers.get("x-amz-copy-source-if-match", "")
        # A source that is missing is moto's own 404.
        if found and expected and found.etag.strip('"') != expected.strip('"'):
            raise PreconditionFailed("x-amz-copy-source-If-Match")
        there = response.backend.get_object(bucket, response.parse_key_name())
        if found and there and request.headers.get("If-None-Match") == "*":
            raise PreconditionFailed("If-None-Match")
