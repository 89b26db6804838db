"""The main job, over HTTP alone: all that a phone and a browser do, from sign-up to the end.

It is driven against whatever address it is given: a stage on the emulator, on AWS (`make smoke`),
or a laptop. It leaves nothing behind there but closed accounts.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chalicelib.core.ids import uuid7
from chalicelib.models import media_types
from tests.deployed.people import Api, Person, noise, waited
from tests.deployed.steps import Steps, say

# What a direct upload may have at most is 4.5 MB, which Lambda is handed as 6 MB of base64.
LARGE_BYTES = 4_400_000
# Two parts: one of the least size that the API cuts, and a bit.
PARTS_BYTES = 8 * 1024 * 1024 + 1000
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
    job.seconds["first answer"] = time.monotonic() - began
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
    answer = job.api.http.request("DELETE", f"{job.api.url}/health")
    # API Gateway tells a path that is none from a method that is none as little as it tells us.
    assert (answer.status_code, answer.json()["code"]) in {
        (404, "not_found"),
        (405, "method_not_allowed"),
    }
    assert answer.headers["Access-Control-Allow-Origin"]


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
    sha256 = hashlib.sha256(data).hexdigest()
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
        assert recording["sha256"] == hashlib.sha256(data).hexdigest(), kind
        assert job.person.play(recording["id"]).content == data, kind


@step
def a_large_recording_comes_through_the_api(job: Job) -> None:
    data = noise(LARGE_BYTES)
    recording = job.person.upload_directly(data, "audio/mp4")
    assert recording["sha256"] == hashlib.sha256(data).hexdigest()


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
    id = me.listed()[0]
    url = me.seen(id)["audio"]["url"]
    wrong = {"password": "a wrong guess"}
    me.refuse("DELETE", "/me", 401, "invalid_credentials", json=wrong)
    me.close()
    me.refuse("GET", "/me", 401, "not_authenticated")
    given = {"email": me.email, "password": me.password}
    job.api.refuse("POST", "/auth/login", 401, "invalid_credentials", json=given)
    job.api.ask("POST", "/auth/signup", 201, json=given)
    # A URL that is out ends by itself.
    assert url


def told(job: Job) -> None:
    """Say how long things took."""
    for what, seconds in job.seconds.items():
        say(f"  {what}: {seconds * 1000:.0f} ms")
