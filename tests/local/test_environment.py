"""Nothing that is configured on a developer's machine leads the app away from its backend."""

from __future__ import annotations

import pytest

from local import in_process
from local.embedded import environment as ours

OURS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_REGION": "us-east-1",
    "NO_PROXY": "localhost",
}


def test_no_aws_setting_of_the_machine_survives() -> None:
    environ = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "AWS_ENDPOINT_URL_S3": "http://far"}
    ours.apply(OURS, environ)
    assert {name: value for name, value in environ.items() if name.startswith("AWS_")} == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "us-east-1",
    }


def test_what_is_not_of_aws_survives() -> None:
    environ = {"RECORDER_S3_PUBLIC_URL": "http://10.0.2.2:9000", "HTTP_PROXY": "http://proxy:3128"}
    ours.apply(OURS, environ)
    assert environ["RECORDER_S3_PUBLIC_URL"] == "http://10.0.2.2:9000"
    assert environ["HTTP_PROXY"] == "http://proxy:3128"


def test_hosts_that_bypassed_the_proxy_still_do() -> None:
    environ = {"NO_PROXY": "corp.example, localhost", "no_proxy": "git.example"}
    ours.apply(OURS, environ)
    assert environ["NO_PROXY"] == environ["no_proxy"] == "localhost,corp.example,git.example"


def test_a_star_still_bypasses_the_proxy_for_every_host() -> None:
    environ = {"no_proxy": "*"}
    ours.apply(OURS, environ)
    assert environ["NO_PROXY"] == environ["no_proxy"] == "*"


@pytest.mark.parametrize(
    ("more", "port"),
    [([], "8000"), (["--port", "9000"], "9000"), (["--host", "::", "--port=80"], "80")],
)
def test_links_begin_with_where_chalice_local_listens(more: list[str], port: str) -> None:
    assert in_process.port(["chalice", "local", *more]) == port
