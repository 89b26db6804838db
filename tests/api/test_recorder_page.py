"""The web recorder as it is served: the page, what it loads, and all that it says."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha384
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chalicelib.api.web import files, recorders
from chalicelib.aws.s3.signing import Signer
from chalicelib.wiring import services
from tests.support.phone import Phone

# `npm pack wavesurfer.js@8.0.1`, dist/wavesurfer.esm.js in it.
WAVESURFER = "SKSpButoOlphH9yzETl+/N3F8cBzn5WX5v+pY+f5RbbIyvJhENOiFRCEGvrmy6LO"
SCRIPTS = {path.name: path.read_text() for path in files.RECORDER.glob("*.js")}
TEXTS = json.loads((files.RECORDER / "texts.json").read_text())
STORES = ("https://up.s3.eu-central-1.amazonaws.com", "https://down.s3.eu-central-1.amazonaws.com")


def loaded(html: str) -> list[str]:
    """The addresses of what a page loads."""
    return re.findall(r'(?:src|href)="(/[^"]+)"', html)


def test_the_page_loads_what_is_served_and_may_be_kept_for_ever(phone: Phone) -> None:
    page = phone.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(loaded(page.text)) > 5
    for url in loaded(page.text):
        file = phone.get(url)
        assert file.status == 200
        assert file.headers["content-type"].startswith(("text/css;", "text/javascript;"))
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("root", ["", "/prod"])
def test_all_it_loads_is_under_the_prefix_of_its_stage(root: str) -> None:
    html = str(recorders.recorder(root, STORES).value)
    assert {url.removeprefix(root).split("/")[1] for url in loaded(html)} == {"web"}
    assert all(url.startswith(f"{root}/web/") for url in loaded(html))


def test_the_policy_allows_its_own_files_and_the_two_buckets_alone() -> None:
    policy = recorders.recorder("", STORES).headers["Content-Security-Policy"]
    directives = {name: sources for name, *sources in map(str.split, policy.split("; "))}
    assert directives == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", recorders.WAVEFORM_STYLE],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'", *STORES],
        "media-src": ["blob:", *STORES],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


def doors(page: str) -> list[dict[str, str]]:
    """What the page knows of where people may sign in."""
    (said,) = re.findall(r'id="doors">(.*?)</script>', page)
    found: list[dict[str, str]] = json.loads(said)
    return found


def test_people_are_sent_to_each_provider_as_the_last_of_its_client_ids(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(google_client_ids="ios, web", apple_client_ids="com.example.app,com.example.web")
    page = phone.get("/").text

    assert doors(page) == [
        {
            "provider": "google",
            "url": "https://accounts.google.com/o/oauth2/v2/auth",
            "client_id": "web",
        },
        {
            "provider": "apple",
            "url": "https://appleid.apple.com/auth/authorize",
            "client_id": "com.example.web",
        },
    ]
    assert f"{files.recorder()}/providers.js" in page


def test_without_client_ids_there_is_no_door_and_nothing_of_it_is_loaded(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(google_client_ids=None, apple_client_ids=None)
    page = phone.get("/").text

    assert doors(page) == []
    assert "providers.js" not in page


def test_no_client_id_can_end_the_script_that_it_is_in(
    phone: Phone, configure: Callable[..., None]
) -> None:
    configure(google_client_ids="</script><script>alert(1)</script>", apple_client_ids=None)

    (door,) = doors(phone.get("/").text)
    assert door["client_id"] == "</script><script>alert(1)</script>"


def test_the_buckets_are_where_urls_are_signed_for() -> None:
    assert services().storage_origins
    signer = services()._signer
    for bucket, origin in zip(("a", "b"), STORES, strict=False):
        assert signer.url("GET", bucket, "key", 60).startswith(signer.origin(bucket) + "/")
        assert "/" not in origin.removeprefix("https://")
    assert isinstance(signer, Signer)


def test_what_is_edited_has_another_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for text in ("1", "2"):
        (tmp_path / "main.js").write_text(text)
        monkeypatch.setattr(files, "RECORDER", tmp_path)
        files.recorder.cache_clear()
        names.add(files.recorder())
    monkeypatch.undo()
    files.recorder.cache_clear()
    assert len(names) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/web/recorder-000000000000/main.js",
        "/web/wavesurfer-8.0.1/LICENSE",
        "/web/wavesurfer-8.0.1/nothing.js",
        f"/web/{files.recorder()}/texts.json",
        f"/web/{files.recorder()}/..%2fpages.py",
        f"/web/..%2f{files.recorder()}/main.js",
        "/web/x/.env",
    ],
)
def test_nothing_else_is_served(phone: Phone, path: str) -> None:
    assert phone.get(path).status == 404


def test_wavesurfer_is_what_npm_has_and_its_licence_lies_beside_it() -> None:
    code = (files.WAVESURFER / "wavesurfer.esm.js").read_bytes()
    assert b64encode(sha384(code).digest()).decode() == WAVESURFER
    assert "BSD 3-Clause" in (files.WAVESURFER / "LICENSE").read_text()
    assert f'import("../{files.WAVESURFER.name}/wavesurfer.esm.js")' in SCRIPTS["player.js"]


# Its texts


def test_every_text_that_is_asked_for_is_there_and_no_other_is() -> None:
    code = "\n".join(SCRIPTS.values())
    # What stands in quotes may be asked for; what is asked for by a code or a name is by a prefix.
    quoted = set(re.findall(r'"([a-z][a-z_]*)"', code)) | set(recorders.IN_HTML)
    prefixes = ("error_", "field_", "shelf_", "empty_", "way_")
    asked = set(re.findall(r'\bt\("([a-z_]+)"', code))
    assert asked <= set(TEXTS)
    assert {name for name in TEXTS if not name.startswith(prefixes)} <= quoted


def test_no_text_is_in_the_code() -> None:
    shown = re.compile(r'textContent = "[^"]|el\("\w+", {[^}]*}, "\w|(?:say|alert)\("')
    for name, code in SCRIPTS.items():
        assert not shown.search(code), name


def test_no_text_can_end_the_script_that_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Texts(HTMLParser):
        inside = False
        said = ""

        def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = ("id", "texts") in attrs

        def handle_data(self, data: str) -> None:
            self.said += data if self.inside else ""

        def handle_endtag(self, _: str) -> None:
            self.inside = False

    hostile = TEXTS | {"cancel": "</script><script>alert(1)</script>", "title": "<b>"}
    monkeypatch.setattr(json, "loads", lambda _: hostile)
    recorders._texts.cache_clear()
    html = str(recorders.recorder("/hostile", STORES).value)
    monkeypatch.undo()
    recorders._texts.cache_clear()
    found = Texts()
    found.feed(html)
    assert json.loads(found.said) == hostile
    assert "<title>&lt;b&gt;</title>" in html


# What it does with the API


def test_the_page_has_words_for_what_the_api_may_say_to_it() -> None:
    for code in (
        *("invalid_credentials", "email_taken", "too_many_attempts", "quota_exceeded"),
        *("email_not_confirmed", "too_large", "unsupported_media_type", "version_conflict"),
        *("id_conflict", "upload_mismatch", "not_found", "too_many_links", "unavailable"),
    ):
        assert TEXTS[f"error_{code}"]


def test_only_one_module_talks_to_the_api() -> None:
    for name, code in SCRIPTS.items():
        if name == "api.js":
            assert "Authorization" in code
        else:
            assert "Authorization" not in code
            # A code's name has it in it.
            assert not re.search(r"XMLHttpRequest|access_token|refresh_token\b", code), name
