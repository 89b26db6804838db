"""Signing: URLs that are signed here are, letter by letter, those that botocore signs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError, NoRegionError
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.s3.signing import Signer
from chalicelib.errors import Unavailable

KEY = "019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0b/019a8f3e-7c1d-7f00-8a3b-5c6d7e8f9a0c"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
ADDRESSES = [
    "",
    "http://127.0.0.1:4566",
    "https://s3.example.com:443",
    "http://s3.example.com:80",
    "https://S3.Example.com/under/a/path",
    "http://[::1]:9000",
]


class Session:
    """What is asked of boto3's session."""

    def __init__(self, region: str | None, credentials: Credentials | None) -> None:
        self.region_name = region
        self._credentials = credentials

    def get_credentials(self) -> Credentials | None:
        return self._credentials


def signer(session: Session, address: str = "") -> Signer:
    whichever: Any = session
    return Signer(lambda: whichever, address)


@pytest.fixture(scope="module")
def botocores() -> Iterator[Any]:
    """Signs as botocore does, at the time at which another URL was signed."""
    with pytest.MonkeyPatch.context() as patch:

        def signed(
            session: Session, method: str, unsigned: str, like: str, headers: dict[str, str]
        ) -> str:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(like).query).items()}
            at = datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            patch.setattr(botocore.auth, "get_current_datetime", lambda: at)
            request = AWSRequest(method=method, url=unsigned, headers=headers)
            credentials: Any = session.get_credentials()
            region: Any = session.region_name
            expires: Any = asked["X-Amz-Expires"]
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", region, expires).add_auth(request)
            return str(request.url)

        yield signed


@given(
    method=st.sampled_from(["GET", "PUT", "HEAD"]),
    address=st.sampled_from(ADDRESSES),
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"]),
    seconds=st.integers(1, 604_800),
    token=st.none() | VISIBLE,
    secret=VISIBLE,
    query=st.dictionaries(
        st.sampled_from(["response-content-disposition", "partNumber", "uploadId", "a", "a-b"]),
        TEXT,
    ),
    headers=st.dictionaries(
        st.sampled_from(["Content-Type", "Content-Length", "x-amz-checksum-sha256"]),
        st.from_regex(r"[!-~]+( +[!-~]+)?", fullmatch=True),
    ),
)
def test_a_url_is_what_botocore_signs(  # noqa: PLR0913, PLR0917 - all that a signature is made of
    botocores: Any,
    method: str,
    address: str,
    region: str,
    seconds: int,
    token: str | None,
    secret: str,
    query: dict[str, str],
    headers: dict[str, str],
) -> None:
    session = Session(region, Credentials("AKIDEXAMPLE", secret, token))
    ours = signer(session, address).url(method, "b", KEY, seconds, headers=headers, query=query)

    unsigned = ours.partition("?")[0] + (f"?{urlencode(query)}" if query else "")
    assert ours == botocores(session, method, unsigned, ours, headers)


@pytest.mark.parametrize(
    ("region", "credentials", "missing"),
    [
        (None, Credentials("a", "s"), NoRegionError),
        ("us-east-1", None, NoCredentialsError),
    ],
)
def test_without_credentials_or_a_region_nothing_is_signed(
    region: str | None, credentials: Credentials | None, missing: type[Exception]
) -> None:
    with pytest.raises(Unavailable) as refused:
        signer(Session(region, credentials)).url("GET", "b", KEY, 60)

    assert isinstance(refused.value.__cause__, missing)
