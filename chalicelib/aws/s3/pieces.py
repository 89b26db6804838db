"""Pieces of live uploads: small objects of the uploads bucket, named by their offset and size."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.objects import MISSING, REFUSED, Bucket, to_base64
from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import ObjectChanged, Unavailable
from chalicelib.models.entities import Piece, Slice, StoredRecording

# S3 answers in 20 ms, whatever a small piece's size. Botocore's pool has ten connections.
AT_ONCE = 8
_NAME = re.compile(r"(\d{10})-(\d+)", re.ASCII)


class Pieces(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    bucket: Bucket
    signer: Signer

    def sign(
        self, recording: StoredRecording, offset: int, size: int, sha256: str | None, seconds: int
    ) -> tuple[str, dict[str, str]]:
        headers = {"Content-Length": str(size)}
        if sha256:
            headers["x-amz-checksum-sha256"] = to_base64(sha256)
        key = recording.piece_key(offset, size)
        return self.signer.url("PUT", self.bucket.name, key, seconds, headers=headers), headers

    def arrived(self, recording: StoredRecording) -> list[Piece]:
        pieces = []
        for found in self.bucket.listed(recording.folder):
            named = _NAME.fullmatch(found["Key"].removeprefix(recording.folder))
            # The last one, which has no bytes, only says that all of them are there.
            if named and int(named[2]) == found["Size"] > 0:
                pieces.append(Piece(int(named[1]), found["Size"], found["LastModified"]))
        return pieces

    def read(self, recording: StoredRecording, slices: list[Slice]) -> bytes:
        pool = ThreadPoolExecutor(AT_ONCE)
        # Each in a context of its own, for the deadline and the log.
        reading = [pool.submit(copy_context().run, self._read, recording, each) for each in slices]
        try:
            return b"".join(each.result() for each in reading)
        finally:
            # Where one fails, nobody waits for the thousands behind it.
            pool.shutdown(cancel_futures=True)

    def put_last(self, recording: StoredRecording, *, again: bool) -> None:
        condition = {} if again else {"IfNoneMatch": "*"}
        with our_errors():
            try:
                self.bucket.client().put_object(
                    Bucket=self.bucket.name,
                    Key=recording.last_key,
                    Body=b"",
                    **condition,  # type: ignore[arg-type]
                )
            except ClientError as error:
                if error_code(error) not in REFUSED:
                    raise

    def _read(self, recording: StoredRecording, slice: Slice) -> bytes:
        piece, last = slice.piece, slice.start + slice.size - 1
        with our_errors():
            try:
                data = (
                    self.bucket.client()
                    .get_object(
                        Bucket=self.bucket.name,
                        Key=recording.piece_key(piece.offset, piece.size),
                        Range=f"bytes={slice.start}-{last}",
                    )["Body"]
                    .read()
                )
            except ClientError as error:
                if error_code(error) in MISSING:
                    raise ObjectChanged from error
                raise
        if len(data) != slice.size:
            raise Unavailable("A piece was cut short on its way")
        return data
