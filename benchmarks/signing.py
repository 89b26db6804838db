"""What signing costs: botocore's own signer, against boto3's S3 client, in one run.

Prints ratios, since machines differ. Signs with made-up credentials, and calls nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import boto3

from chalicelib.aws.clients import Clients
from chalicelib.aws.s3.signing import Signer

ROUNDS = 300


def main() -> None:
    """Measure, and print."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    clients = Clients(custom_s3=False)
    build_session = _seconds(lambda: bool(clients.session.get_credentials()))
    build_client = _seconds(lambda: clients.s3)
    signer = Signer(lambda: clients.session, "")
    parameters = {"Bucket": "b", "Key": "user/recording"}
    ours = _median(lambda: signer.url("GET", "b", "user/recording", 900))
    theirs = _median(
        lambda: clients.s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=900)
    )
    print(f"boto3 {boto3.__version__}, medians of {ROUNDS}")
    print(f"the first URL: {(build_session + ours) * 1000:.0f} ms with the signer alone, ", end="")
    print(f"{(build_session + build_client + theirs) * 1000:.0f} ms with the S3 client, ", end="")
    print(f"{(build_session + build_client + theirs) / (build_session + ours):.1f} times as long")
    print(
        f"every other:   {ours * 1e6:.0f} us and {theirs * 1e6:.0f} us, {theirs / ours:.1f} times"
    )


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _median(work: Callable[[], object]) -> float:
    return sorted(_seconds(work) for _ in range(ROUNDS))[ROUNDS // 2]


if __name__ == "__main__":
    main()
