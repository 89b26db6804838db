"""The main job, over HTTP alone: all that a phone and a browser do, from sign-up to the end.

It is driven against whatever address it is given: a stage on the emulator, on AWS (`make smoke`),
or a laptop.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from chalicelib.api.web import files
from chalicelib.core.ids import uuid7
from chalicelib.models import media_types
from tests.deployed.people import Api, Person, hashed, noise, waited
from tests.deployed.steps import Steps, say
from tests.support import ROOT

# What a direct upload may have at most is 4.5 MB, which Lambda is handed as 6 MB of base64.
LARGE_BYTES = 4_400_000
# Two parts: one of the least size that the API cuts, and a bit.
PARTS_BYTES = 8 * 1024 * 1024 + 1000
# More than is put together while somebody waits for it, and of what S3 copies and what it does not.
LONG_PIECES = [size * 1024 * 1024 for size in (6, 1, 6, 1, 1, 5)]
# Two seconds that a browser recorded.
SOUND = (ROOT / "tests" / "data" / "sounds" / "media-recorder.webm").read_bytes()
HEARD = {
    "readable": True,
    "duration_ms": 2000,
    "container": "webm",
    "codec": "opus",
    "sample_rate_hz": 48_000,
    "channels": 1,
}
LISTENED_SECONDS = 60
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
AS_JSON, AS_A_PAGE = {"Accept": "application/json"}, {"Accept": "text/html,*/*;q=0.8"}
# As apps cross origins.
ORIGIN = {"Origin": "https://app.example.com"}
PREFLIGHT = {
    **ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,traceparent",
}
OF_A_PAGE = {"Content-Type": "text/html"}
ALLOWED = {
    "authorization",
    "content-type",
    "if-match",
    "cache-control",
    "x-requested-with",
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
}


@dataclass
class Job:
    """An API, somebody who uses it, and how long it took."""

    api: Api
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def person(self) -> Person:
        """Who does what needs nobody new."""
        return Person(self.api)

    @cached_property
    def document(self) -> Any:
        """The API's own description of itself."""
        return self.api.ask("GET", "/openapi.json").json()


MAIN_JOB: Steps[Job] = Steps("The main job, over HTTP")
step = MAIN_JOB.step


# What is open


@step
def it_answers(job: Job) -> None:
    began = time.monotonic()
    answer = job.api.ask("GET", "/health")
    job.seconds.setdefault("first answer", time.monotonic() - began)
    assert answer.json()["status"] == "ok"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@step
def it_describes_itself_and_shows_a_page(job: Job) -> None:
    assert "/recordings/{id}/complete" in job.document["paths"]
    page = job.api.ask("GET", "/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"]
    assert job.api.ask("HEAD", "/docs").content == b""


@step
def it_says_what_apps_have_to_know(job: Job) -> None:
    config = job.api.ask("GET", "/config").json()
    assert config["content_types"]["direct"] == list(media_types.DIRECT)
    assert config["limits"]["direct_upload_bytes"] > LARGE_BYTES
    assert config["limits"]["recording_bytes"] > sum(LONG_PIECES)
    assert {each["provider"] for each in config["sign_in"]} <= {"google", "apple"}
    assert job.api.ask("HEAD", "/config").content == b""
    assert job.api.ask("GET", "/blank").headers["Content-Type"].startswith("text/html")


@step
def the_web_recorder_comes_with_all_that_it_loads(job: Job) -> None:
    page = job.api.ask("GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'; script-src 'self'" in page.headers["Content-Security-Policy"]
    found: dict[str, str] = {}
    waiting = [*map(job.api.path_of, re.findall(r'(?:src|href)="(/[^"]+)"', page.text))]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = _kept_for_ever(job, path)
        imported = re.findall(r'(?:from|import\() ?"(\.[^"]+)"', found[path])
        waiting += [urljoin(path, each) for each in imported]
    names = {path.rpartition("/")[2] for path in found}
    assert names >= {*files.modules(), "style.css", "wavesurfer.esm.js"}, names
    other = next(iter(found)).replace("recorder-", "recorder-0")
    job.api.refuse("GET", other, 404, "not_found")


def _kept_for_ever(job: Job, path: str) -> str:
    """A file that a page loads, which is that of this version."""
    answer = job.api.ask("GET", path)
    assert answer.headers["Cache-Control"] == KEPT_FOR_EVER, path
    assert answer.headers["Content-Type"] in {
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    file = files.find(*path.split("/")[-2:])
    assert file, f"{path} is of another version than this one"
    assert answer.text == file.read_text(encoding="utf-8"), path
    return answer.text


@step
def every_path_answers_a_preflight(job: Job) -> None:
    for path, methods in job.document["paths"].items():
        there = path.replace("{", "").replace("}", "")
        answer = job.api.ask("OPTIONS", there, headers=PREFLIGHT)
        headers = answer.headers["Access-Control-Allow-Headers"].lower().split(",")
        assert {each.strip() for each in headers} >= ALLOWED, headers
        allowed = answer.headers["Access-Control-Allow-Methods"].split(",")
        assert {each.upper() for each in methods} - {"PARAMETERS"} <= {*allowed}, (path, allowed)


@step
def a_path_that_is_none_is_not_found(job: Job) -> None:
    for path in ("/nowhere", "/recordings/x/y/z", "/me/nothing"):
        job.api.refuse("GET", path, 404, "not_found")
        # With a token of ours API Gateway takes it for one that AWS signed wrongly.
        job.person.refuse("GET", path, 404, "not_found")


@step
def a_method_that_is_none_is_refused_in_the_apps_form(job: Job) -> None:
    answer = job.api.ask("DELETE", "/health", 0)
    # API Gateway tells a path that is none from a method that is none as little as it tells us.
    assert (answer.status_code, answer.json()["code"]) in {
        (404, "not_found"),
        (405, "method_not_allowed"),
    }


@step
def what_wants_a_token_is_refused_without_one(job: Job) -> None:
    for method, path in (("GET", "/me"), ("GET", "/recordings"), ("POST", "/recordings")):
        job.api.refuse(method, path, 401, "not_authenticated")
    wrong = {"Authorization": "Bearer x.y.z"}
    job.api.refuse("GET", "/me", 401, "not_authenticated", headers=wrong)


# An account


@step
def somebody_signs_up_logs_in_and_logs_out(job: Job) -> None:
    me = job.person
    again = {"email": me.email.upper(), "password": me.password}
    job.api.refuse("POST", "/auth/signup", 409, "email_taken", json=again)
    session = me.log_in(device="Another phone")
    guess = {"email": me.email, "password": "a wrong guess"}
    job.api.refuse("POST", "/auth/login", 401, "invalid_credentials", json=guess)
    sessions = me.ask("GET", "/me/sessions")["sessions"]
    assert [each["device"] for each in sessions] == ["Another phone", None], sessions
    job.api.ask("POST", "/auth/logout", 204, json={"refresh_token": session["refresh_token"]})
    ended = {"Authorization": f"Bearer {session['access_token']}"}
    job.api.refuse("GET", "/me", 401, "not_authenticated", headers=ended)


@step
def a_device_that_is_lost_is_logged_out_from_another(job: Job) -> None:
    me = job.person
    lost = me.log_in(device="A lost phone")
    found = {each["device"]: each["id"] for each in me.ask("GET", "/me/sessions")["sessions"]}
    me.ask("DELETE", f"/me/sessions/{found['A lost phone']}", 204)
    ended = {"Authorization": f"Bearer {lost['access_token']}"}
    job.api.refuse("GET", "/me", 401, "not_authenticated", headers=ended)


@step
def a_refresh_whose_answer_was_lost_is_repeated(job: Job) -> None:
    me = job.person
    given = {"refresh_token": me.tokens["refresh_token"]}
    first = job.api.ask("POST", "/auth/refresh", json=given).json()
    again = job.api.ask("POST", "/auth/refresh", json=given).json()
    assert first["refresh_token"] == again["refresh_token"] != given["refresh_token"]
    me.tokens = again
    assert me.ask("GET", "/me")["email"] == me.email


@step
def somebody_changes_their_name_and_their_password(job: Job) -> None:
    me = Person(job.api)
    named = "Žofie 🎙"
    assert me.ask("PATCH", "/me", json={"name": named})["name"] == named
    other = me.log_in()
    change = {"current_password": me.password, "new_password": "another, much better one"}
    me.ask("POST", "/me/password", 204, json=change)
    me.password = change["new_password"]
    ended = {"Authorization": f"Bearer {other['access_token']}"}
    job.api.refuse("GET", "/me", 401, "not_authenticated", headers=ended)
    me.log_in()
    me.close()


@step
def a_forgotten_password_is_asked_for(job: Job) -> None:
    job.api.ask("POST", "/auth/password/forgot", 202, json={"email": f"{uuid7()}@example.com"})


# Sending


def _sent_and_played(job: Job, method: str, size: int) -> None:
    data = noise(size)
    sha256 = hashed(data)
    known = {} if method == "multipart" else {"sha256": sha256}
    id = job.person.upload(data, method, tags=["talk"], notes="naïve ☕", **known)
    seen = job.person.seen(id)
    assert (seen["size"], seen["sha256"]) == (size, sha256), seen
    assert seen["notes"] == "naïve ☕"
    whole = job.person.play(id)
    assert whole.content == data
    assert whole.headers["Content-Type"] == "audio/mp4"
    assert "Interview" in whole.headers["Content-Disposition"]
    part = job.person.play(id, 206, Range="bytes=1000-1999")
    assert part.content == data[1000:2000]
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{size}"


@step
def what_is_sent_by_put_plays_by_ranges_too(job: Job) -> None:
    _sent_and_played(job, "put", 50_000)


@step
def what_is_sent_by_a_form_plays_by_ranges_too(job: Job) -> None:
    _sent_and_played(job, "post", 50_000)


@step
def what_is_sent_in_parts_plays_by_ranges_too(job: Job) -> None:
    _sent_and_played(job, "multipart", PARTS_BYTES)


@step
def an_upload_goes_on_where_it_was(job: Job) -> None:
    data = noise(PARTS_BYTES)
    upload = (begun := job.person.announce(data, "multipart"))["upload"]
    id, first = begun["recording"]["id"], upload["parts"][0]
    job.api.fetch("PUT", first["url"], content=data[: first["size"]])
    resumed = job.person.ask("GET", f"/recordings/{id}/upload")["upload"]
    assert [each["number"] for each in resumed["uploaded"]] == [1]
    assert [each["number"] for each in resumed["parts"]] == [2]
    again = job.person.ask("GET", f"/recordings/{id}/upload/parts/1")
    assert again["size"] == first["size"]
    incomplete = job.person.refuse(
        "POST", f"/recordings/{id}/complete", 409, "upload_incomplete", json={}
    )
    assert incomplete["detail"]
    job.person.send(resumed, data)
    job.person.ask("POST", f"/recordings/{id}/complete")
    assert job.person.play(id).content == data


@step
def s3_takes_nothing_but_what_was_announced(job: Job) -> None:
    upload = job.person.announce(noise(1000))["upload"]
    for data, said in ((noise(1001), {"Content-Length": "1001"}), (noise(1000), OF_A_PAGE)):
        headers = upload["headers"] | said
        job.api.fetch("PUT", upload["url"], 403, content=data, headers=headers)


@step
def nothing_is_signed_but_what_an_upload_library_sends(job: Job) -> None:
    asked = {"headers": "GET\n/somebody-elses"}
    answer = job.person.refused("POST", "/uploads/sign", json=asked)
    # By whether a key signs for such libraries here.
    assert answer in {(400, "invalid_request"), (404, "not_found")}, answer


@step
def s3_lets_a_page_send_and_play(job: Job) -> None:
    allowed = job.api.ask("GET", "/health").headers["Access-Control-Allow-Origin"]
    origin = ORIGIN if allowed == "*" else {"Origin": allowed}
    data = noise(1000)
    begun = job.person.announce(data)
    url, id = begun["upload"]["url"], begun["recording"]["id"]

    def preflight(url: str, method: str, headers: str) -> None:
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
        may = job.api.fetch("OPTIONS", url, headers=origin | asked).headers
        assert may["Access-Control-Allow-Origin"] in {"*", origin["Origin"]}
        assert method in may["Access-Control-Allow-Methods"]

    preflight(url, "PUT", "content-type,x-amz-checksum-sha256")
    form = job.person.announce(data, "post")["upload"]["url"]
    preflight(form, "POST", "cache-control,x-requested-with")
    headers = begun["upload"]["headers"] | origin
    sent = job.api.fetch("PUT", url, content=data, headers=headers).headers
    assert {"ETag", "Location"} <= {*sent["Access-Control-Expose-Headers"].split(", ")}
    job.person.ask("POST", f"/recordings/{id}/complete")
    preflight(job.person.seen(id)["audio"]["url"], "GET", "range")
    played = job.person.play(id, 206, **origin, Range="bytes=0-99").headers
    assert played["Access-Control-Allow-Origin"]
    seen = {*played["Access-Control-Expose-Headers"].split(", ")}
    assert {"Accept-Ranges", "Content-Length", "Content-Range"} <= seen, seen


@step
def recordings_are_announced_together(job: Job) -> None:
    data = noise(2000)
    new = [
        {
            "id": uuid7(),
            "file_name": f"{at}.m4a",
            "content_type": "audio/mp4",
            "size": len(data),
            "upload_method": "post",
        }
        for at in range(3)
    ]
    begun = job.person.ask("POST", "/recordings/batch", 201, json={"recordings": new})
    for each in begun["recordings"]:
        job.person.send(each["upload"], data)
        job.person.ask("POST", f"/recordings/{each['recording']['id']}/complete")
    assert {each["id"] for each in new} <= {*job.person.listed(limit="100")}


@step
def every_binary_type_comes_through_as_the_bytes_it_is(job: Job) -> None:
    for kind in media_types.DIRECT:
        data = noise(3000)
        recording = job.person.upload_directly(data, f"{kind};codecs=x")
        assert recording["content_type"] == kind
        assert recording["sha256"] == hashed(data), kind
        assert job.person.play(recording["id"]).content == data, kind


@step
def a_large_recording_comes_through_the_api(job: Job) -> None:
    data = noise(LARGE_BYTES)
    recording = job.person.upload_directly(data, "audio/mp4")
    assert recording["sha256"] == hashed(data)


@step
def what_is_too_large_is_refused(job: Job) -> None:
    path, query = f"/recordings/{uuid7()}/audio", {"file_name": "x"}
    headers = {"Content-Type": "audio/mp4"}
    big = noise(4_600_000)
    job.person.refuse("PUT", path, 413, "too_large", params=query, content=big, headers=headers)
    new = {"file_name": "x", "content_type": "audio/mp4", "size": 10**15}
    job.person.refuse("POST", "/recordings", 413, "too_large", json=new)


@step
def the_type_is_judged_first(job: Job) -> None:
    query = {"file_name": "x"}
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "audio/x-unheard-of"}, {}):
        path = f"/recordings/{uuid7()}/audio"
        job.person.refuse(
            "PUT",
            path,
            415,
            "unsupported_media_type",
            params=query,
            content=noise(500),
            headers=headers,
        )


@step
def what_its_app_forgets_is_completed_by_its_arrival(job: Job) -> None:
    id = job.person.deliver(noise(20_000))
    took = waited(lambda: job.person.seen(id)["status"] == "ready", 60, "It was not completed")
    job.seconds["completed by S3's event"] = took


# Sent while it is recorded


@step
def what_is_sent_while_it_is_recorded_plays(job: Job) -> None:
    me, data = job.person, [noise(20_000) for _ in range(5)]
    id, size, whole = me.begin_live(), 100_000, b"".join(data)
    first = me.add_pieces(id, 0, data[:3])
    assert first["offset"] == 60_000
    me.send_piece(first["pieces"][0], data[0])
    # S3 takes what was announced, and nothing else.
    me.send_piece(first["pieces"][1], noise(20_000), 400)
    me.send_piece(first["pieces"][2], data[2])
    end = {"size": size, "sha256": hashed(whole)}
    ahead = {"offset": 10**6, "pieces": [{"size": 1}]}
    refused = me.refuse("POST", f"/recordings/{id}/pieces", 409, "offset_conflict", json=ahead)
    assert refused["offset"] == 60_000
    rest = me.add_pieces(id, 60_000, data[3:])
    for piece, body in zip(rest["pieces"], data[3:], strict=True):
        me.send_piece(piece, body)
    me.refuse("POST", f"/recordings/{id}/complete", 409, "upload_incomplete", json=end)
    upload = me.ask("GET", f"/recordings/{id}/upload")["upload"]
    assert upload["offset"] == size
    [gap] = upload["missing"]
    assert (gap["offset"], gap["size"]) == (20_000, 20_000)
    me.send_piece(gap, data[1])
    ready = me.ask("POST", f"/recordings/{id}/complete", json=end)
    assert (ready["status"], ready["sha256"]) == ("ready", end["sha256"])
    assert me.play(id).content == whole
    assert me.ask("POST", f"/recordings/{id}/complete", json=end)["status"] == "ready"


@step
def what_is_long_is_put_together_by_a_job(job: Job) -> None:
    me, data = job.person, [noise(size) for size in LONG_PIECES]
    id, end = me.begin_live(), {"size": sum(LONG_PIECES), "sha256": hashed(b"".join(data))}
    told = me.add_pieces(id, 0, data)
    for piece, body in zip(told["pieces"], data, strict=True):
        me.send_piece(piece, body)
    accepted = me.ask("POST", f"/recordings/{id}/complete", 202, json=end)
    assert accepted["status"] == "uploading"
    took = waited(lambda: me.seen(id)["status"] == "ready", 60, "It was not put together")
    job.seconds["20 MB in pieces put together"] = took
    ready = me.ask("POST", f"/recordings/{id}/complete", json=end)
    assert (ready["size"], ready["sha256"]) == (end["size"], end["sha256"])
    start = LONG_PIECES[0] - 500
    part = me.play(id, 206, Range=f"bytes={start}-{start + 999}")
    assert part.content == data[0][-500:] + data[1][:500]


# What is heard


@step
def sound_is_listened_to_and_drawn(job: Job) -> None:
    me = job.person
    id = me.upload_directly(SOUND, "audio/webm;codecs=opus")["id"]
    took = waited(lambda: "sound" in me.seen(id), LISTENED_SECONDS, "Nobody listened to it")
    job.seconds["listened to by S3's event"] = took
    seen = me.seen(id)
    assert (seen["sound"], seen["duration_ms"]) == (HEARD, HEARD["duration_ms"])
    waveform = me.ask("GET", f"/recordings/{id}/waveform")
    assert 2 * waveform["length"] == len(waveform["data"]) > 2000
    assert max(waveform["data"]) > 10
    link = me.ask("POST", f"/recordings/{id}/links", 201)
    drawn = job.api.ask("GET", f"/s/{link['code']}", headers=AS_A_PAGE).text
    assert len({*re.findall(r"M\d+ -?\d+V-?\d+", drawn)}) == 200
    assert me.changed()[0][id]["sound"] == HEARD


@step
def what_is_no_sound_is_said_to_be_none(job: Job) -> None:
    me = job.person
    id = me.upload_directly(noise(3000), "audio/mp4")["id"]
    waited(lambda: "sound" in me.seen(id), LISTENED_SECONDS, "Nobody listened to it")
    assert me.seen(id)["sound"] == {"readable": False}
    me.refuse("GET", f"/recordings/{id}/waveform", 404, "not_found")


# Sharing


@step
def a_link_plays_to_whoever_has_it(job: Job) -> None:
    me, data = job.person, noise(3000)
    id = me.upload(data)
    path, given = f"/recordings/{id}/links", {"id": uuid7()}
    link = me.ask("POST", path, 201, json=given)
    assert me.ask("POST", path, json=given) == link
    assert urlsplit(link["url"]).netloc, link
    assert link["url"].endswith(f"/s/{link['code']}")
    typed = link["code"].replace("-", "").upper()
    shared = job.api.ask("GET", f"/s/{typed}", headers=AS_JSON).json()
    played = job.api.fetch("GET", shared["audio"]["url"])
    assert played.content == data
    page = job.api.ask("GET", f"/s/{link['code']}", headers=AS_A_PAGE)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "noindex" in page.headers["X-Robots-Tag"]
    sound = urlsplit(shared["audio"]["url"])
    assert f"{sound.scheme}://{sound.netloc}" in page.headers["Content-Security-Policy"]
    # Without show_name nothing tells it.
    told = (page.text, json.dumps(shared), str(played.headers))
    assert [each for each in told if "Interview" in each] == []


@step
def a_link_shows_the_name_if_it_is_to(job: Job) -> None:
    me = job.person
    path = f"/recordings/{me.upload(noise(1000))}/links"
    code = me.ask("POST", path, 201, json={"show_name": True})["code"]
    shared = job.api.ask("GET", f"/s/{code}", headers=AS_JSON).json()
    assert shared["file_name"] == "Interview ☕ 1.m4a"
    played = job.api.fetch("GET", shared["audio"]["url"])
    assert "Interview" in played.headers["Content-Disposition"]
    assert "Interview ☕" in job.api.ask("GET", f"/s/{code}", headers=AS_A_PAGE).text


@step
def what_was_taken_back_or_deleted_opens_nothing(job: Job) -> None:
    me = job.person
    id = me.upload(noise(1000))
    taken, left = (me.ask("POST", f"/recordings/{id}/links", 201)["code"] for _ in range(2))
    for _ in range(2):
        me.ask("DELETE", f"/recordings/{id}/links/{taken}", 204)
    listed = me.ask("GET", f"/recordings/{id}/links")["links"]
    assert [each["code"] for each in listed] == [left]
    me.ask("DELETE", f"/recordings/{id}", 204)
    for code in (taken, left, "00000-00000"):
        job.api.refuse("GET", f"/s/{code}", 404, "not_found", headers=AS_JSON)
        page = job.api.ask("GET", f"/s/{code}", 404, headers=AS_A_PAGE)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    me.ask("DELETE", f"/recordings/{id}", 204, params={"permanent": "true"})


# What becomes of recordings


@step
def the_list_and_the_feed_have_all_of_them(job: Job) -> None:
    me = Person(job.api)
    ids = [me.upload_directly(noise(1000), "audio/ogg")["id"] for _ in range(3)]
    pages = [me.ask("GET", "/recordings", params={"limit": "2"})]
    pages.append(me.ask("GET", "/recordings", params={"limit": "2", "after": pages[0]["next"]}))
    assert [each["id"] for page in pages for each in page["recordings"]] == ids[::-1]
    assert pages[1]["next"] is None
    changes, cursor = me.changed()
    assert {*ids} <= changes.keys()
    me.ask("DELETE", f"/recordings/{ids[0]}", 204, params={"permanent": "true"})
    later, _ = me.changed(cursor)
    assert later[ids[0]]["status"] == "deleted"
    assert me.ask("GET", "/me")["usage"]["recordings"] == 2
    me.close()


@step
def a_change_names_the_version_that_it_is_of(job: Job) -> None:
    recording = job.person.upload_directly(noise(1000), "audio/wav")
    path, version = f"/recordings/{recording['id']}", recording["version"]
    of_it = {"If-Match": f'"{version}"'}
    changed = job.person.ask("PATCH", path, json={"file_name": "Später"}, headers=of_it)
    assert (changed["file_name"], changed["version"]) == ("Später", version + 1)
    job.person.refuse("PATCH", path, 409, "version_conflict", json={"notes": "x"}, headers=of_it)


@step
def what_is_deleted_comes_back_from_the_trash(job: Job) -> None:
    id = job.person.upload_directly(noise(1000), "audio/flac")["id"]
    path = f"/recordings/{id}"
    job.person.ask("DELETE", path, 204)
    job.person.ask("DELETE", path, 204)
    assert id in job.person.listed(status="trashed")
    assert id not in job.person.listed(limit="100")
    assert job.person.ask("POST", f"{path}/restore")["status"] == "ready"
    assert job.person.play(id).content


@step
def what_is_deleted_for_good_is_gone(job: Job) -> None:
    id = job.person.upload_directly(noise(1000), "audio/aac")["id"]
    url = job.person.seen(id)["audio"]["url"]
    job.person.ask("DELETE", f"/recordings/{id}", 204, params={"permanent": "true"})
    job.person.refuse("GET", f"/recordings/{id}", 404, "not_found")
    job.api.fetch("GET", url, 404)


@step
def an_upload_that_is_rolled_back_takes_no_bytes_any_more(job: Job) -> None:
    data = noise(1000)
    begun = job.person.announce(data)
    id = begun["recording"]["id"]
    before = job.person.ask("GET", "/me")["usage"]["bytes"]
    job.person.ask("DELETE", f"/recordings/{id}", 204)
    assert job.person.ask("GET", "/me")["usage"]["bytes"] == before - len(data)
    job.person.refuse("POST", f"/recordings/{id}/complete", 404, "not_found")


@step
def parts_of_what_is_rolled_back_are_gone(job: Job) -> None:
    data = noise(PARTS_BYTES)
    begun = job.person.announce(data, "multipart")
    first, last = begun["upload"]["parts"]
    job.api.fetch("PUT", first["url"], content=data[: first["size"]])
    job.person.ask("DELETE", f"/recordings/{begun['recording']['id']}", 204)
    job.api.fetch("PUT", last["url"], 404, content=data[first["size"] :])


@step
def nobody_sees_what_is_somebody_elses(job: Job) -> None:
    id = job.person.upload_directly(noise(1000), "audio/mpeg")["id"]
    other = Person(job.api)
    for method, path in (
        ("GET", f"/recordings/{id}"),
        ("GET", f"/recordings/{id}/upload"),
        ("POST", f"/recordings/{id}/restore"),
    ):
        other.refuse(method, path, 404, "not_found")
    assert other.listed() == []
    other.close()


@step
def an_export_has_it_all(job: Job) -> None:
    asked = job.person.ask("POST", "/me/export", json={"password": job.person.password})
    export = json.loads(job.api.fetch("GET", asked["url"]).content)
    assert {*job.person.listed(limit="100")} <= {each["id"] for each in export["recordings"]}
    assert export["links"]
    for link in export["links"]:
        assert urlsplit(link["url"]).netloc, link


@step
def it_is_quick(job: Job) -> None:
    for name, path in (("GET /me", "/me"), ("GET /recordings", "/recordings?limit=50")):
        times = []
        for _ in range(20):
            began = time.monotonic()
            job.person.ask("GET", path)
            times.append(time.monotonic() - began)
        job.seconds[f"{name}, warm"] = statistics.median(times)


@step
def a_deleted_account_is_gone_and_its_address_is_free(job: Job) -> None:
    me = job.person
    wrong = {"password": "a wrong guess"}
    me.refuse("DELETE", "/me", 401, "invalid_credentials", json=wrong)
    me.close()
    me.refuse("GET", "/me", 401, "not_authenticated")
    given = {"email": me.email, "password": me.password}
    job.api.refuse("POST", "/auth/login", 401, "invalid_credentials", json=given)
    me.tokens = me.sign_up()
    me.close()


def told(job: Job) -> None:
    """Say how long things took."""
    for what, seconds in job.seconds.items():
        say(f"  {what}: {seconds * 1000:.0f} ms")
