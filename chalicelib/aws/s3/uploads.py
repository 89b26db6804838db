"""The uploads bucket, where bytes arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from botocore.exceptions import ClientError
from msgspec import Struct

from chalicelib.aws.clients import error_code, our_errors
from chalicelib.aws.s3.objects import MISSING, REFUSED, Bucket, to_base64
from chalicelib.aws.s3.signing import Conditions, Signer
from chalicelib.models.entities import Keyed, StoredObject, StoredRecording


class UploadsBucket(Struct, frozen=True):
    """See core/ports.py for what each method promises."""

    bucket: Bucket
    signer: Signer

    def sign_put(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        headers = {"Content-Type": recording.content_type, "Content-Length": str(recording.size)}
        if recording.sha256:
            headers["x-amz-checksum-sha256"] = to_base64(recording.sha256)
        url = self.signer.url("PUT", self.bucket.name, recording.key, seconds, headers=headers)
        return url, headers

    def sign_post(self, recording: StoredRecording, seconds: int) -> tuple[str, dict[str, str]]:
        fields = {"Content-Type": recording.content_type}
        if recording.sha256:
            fields["x-amz-checksum-algorithm"] = "SHA256"
            fields["x-amz-checksum-sha256"] = to_base64(recording.sha256)
        exactly: Conditions = [["content-length-range", recording.size, recording.size]]
        return self.signer.form(self.bucket.name, recording.key, seconds, fields, exactly)

    def find(self, recording: Keyed) -> StoredObject | None:
        return self.bucket.head(recording.key)

    def discard(self, key: str, etag: str) -> None:
        with our_errors():
            try:
                self.bucket.client().delete_object(Bucket=self.bucket.name, Key=key, IfMatch=etag)
            except ClientError as error:
                if error_code(error) not in REFUSED | MISSING:
                    raise

    def delete(self, keys: Iterable[str]) -> set[str]:
        return self.bucket.delete({"Key": key} for key in keys)

    def arrived(self, recording: Keyed) -> Iterator[tuple[str, str]]:
        # All ids are as long, so that nothing of another recording begins so.
        return ((found["Key"], found["ETag"]) for found in self.bucket.listed(recording.key))

    def keys(self, user_id: str, recording_id: str | None = None) -> Iterator[str]:
        folder = f"{user_id}/{recording_id}" if recording_id else user_id
        return self.bucket.keys(f"{folder}/")
