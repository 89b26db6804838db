"""The use cases whose every call to AWS is to fail once, one at a time, in test_invariants.py."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import httpx
import msgspec

from chalicelib import jobs, wiring
from chalicelib.aws.dynamodb.items import recording_key
from chalicelib.core.ids import uuid7
from chalicelib.errors import RecorderError
from chalicelib.models.entities import Identity
from chalicelib.settings import Settings
from local.provider import ISSUERS, Provider
from tests.conftest import LAMBDA, Clock
from tests.support import shortcut
from tests.support.listening import listen_instantly
from tests.support.mail import delivered_to, token_in
from tests.support.phone import NO_TLS, PASSWORD, Answer, Phone, send, send_piece

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


SOUND = b"some sound"
# The same as it is sent while it is recorded. Of the first two S3 makes one part.
PIECES = b"so", b"me ", b"sound"
# Of another recording of the same user, which nothing that happens is about.
STAYING = b"what stays"


@dataclass(frozen=True)
class UseCase:
    """Something that happens: what comes before it, how it is asked for, and what is then true.

    `id` stands for a recording wherever there is one.
    """

    prepare: Callable[[Phone, Clock], str]
    request: Callable[[Phone, str], Answer]
    is_done: Callable[[Phone, str], bool]
    answers: tuple[int, ...] = (200,)


# What comes before.


def the_settings() -> Settings:
    return wiring.services().settings


def s3() -> S3Client:
    return wiring.services().clients.s3


def nothing(*_: object) -> str:
    return uuid7()


def two_ids(*_: object) -> str:
    return f"{uuid7()} {uuid7()}"


def sent(phone: Phone, _: Clock) -> str:
    return phone.deliver(SOUND)


def announced_in_parts(phone: Phone, _: Clock) -> str:
    return str(phone.announce(SOUND, upload_method="multipart").json["recording"]["id"])


def sent_in_parts(phone: Phone, _: Clock) -> str:
    return phone.deliver(SOUND, upload_method="multipart")


def given_up_by_s3(phone: Phone, clock: Clock) -> str:
    id = announced_in_parts(phone, clock)
    bucket, key = the_settings().uploads_bucket, f"{phone.user_id}/{id}"
    for upload in s3().list_multipart_uploads(Bucket=bucket, Prefix=key)["Uploads"]:
        s3().abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])
    return id


def announced_live(phone: Phone, _: Clock) -> str:
    return str(phone.announce_live().json["recording"]["id"])


def recorded(phone: Phone, _: Clock) -> str:
    """More is announced than is recorded."""
    id = phone.record(*PIECES)
    phone.announce_pieces(id, len(SOUND), b"x")
    return id


def recorded_for_long(phone: Phone, clock: Clock) -> str:
    """So many pieces that nobody waits until they are put together; most were signed again."""
    id = recorded(phone, clock)
    for _ in range(10):
        phone.announce_pieces(id, 0, *[b"x"] * len(SOUND))
    return id


def ended(phone: Phone, clock: Clock) -> str:
    id = recorded_for_long(phone, clock)
    assert complete_live(phone, id).status == 202
    return id


def rolled_back_and_recorded_all_the_same(phone: Phone, clock: Clock) -> str:
    id = announced_live(phone, clock)
    signed = phone.announce_pieces(id, 0, SOUND).json["pieces"]
    phone.delete(f"/recordings/{id}")
    send_piece(signed[0], SOUND)
    return id


def ready(phone: Phone, _: Clock) -> str:
    return phone.upload_directly(SOUND)


def ready_long_ago(phone: Phone, clock: Clock) -> str:
    id = phone.upload_directly(SOUND)
    clock.advance(minutes=16)
    return id


def shared(phone: Phone, clock: Clock) -> str:
    id = ready_long_ago(phone, clock)
    phone.post(f"/recordings/{id}/links", {"expires_in_seconds": None})
    return id


def listened_to_long_ago(phone: Phone, clock: Clock) -> str:
    id = ready_long_ago(phone, clock)
    listen_instantly(phone, id)
    return id


def unreadable(phone: Phone, clock: Clock) -> str:
    """Shared and listened to, and then written by a version that is no more."""
    id = shared(phone, clock)
    listen_instantly(phone, id)
    key = recording_key(phone.user_id, id)
    [item] = [it for it in shortcut.items(the_settings().table, key["pk"]) if it["sk"] == key["sk"]]
    shortcut.put(the_settings().table, [item | {"upload_method": "carrier pigeon"}])
    return id


def in_the_trash(phone: Phone, clock: Clock) -> str:
    id = ready(phone, clock)
    phone.delete(f"/recordings/{id}")
    return id


def rolled_back_and_sent_all_the_same(phone: Phone, _: Clock) -> str:
    begun = phone.announce(SOUND).json
    id = str(begun["recording"]["id"])
    phone.delete(f"/recordings/{id}")
    send(begun["upload"], SOUND)
    return id


def copied_after_the_deletion(phone: Phone, clock: Clock) -> str:
    id = rolled_back_and_sent_all_the_same(phone, clock)
    key = f"{phone.user_id}/{id}"
    s3().put_object(Bucket=the_settings().recordings_bucket, Key=key, Body=SOUND)
    return id


def closed_with_something_left_everywhere(phone: Phone, clock: Clock) -> str:
    id = uuid7()
    bucket, key = the_settings().uploads_bucket, f"{phone.user_id}/{id}"
    s3().put_object(Bucket=bucket, Key=key, Body=SOUND)
    s3().create_multipart_upload(Bucket=bucket, Key=key)
    close(phone, id)
    clock.advance(minutes=16)
    return id


def later(
    prepare: Callable[[Phone, Clock], str], **duration: float
) -> Callable[[Phone, Clock], str]:
    """The same, so much later."""

    def prepared(phone: Phone, clock: Clock) -> str:
        id = prepare(phone, clock)
        clock.advance(**duration)
        return id

    return prepared


@functools.cache
def _provider() -> Provider:
    provider = Provider()
    provider.serve()
    return provider


def token(clock: Callable[[], datetime], by: str, sub: str, **claims: object) -> str:
    """An id token of a provider that the app trusts from now on."""
    services, provider = wiring.services(), _provider()
    urls = {f"{each}_keys_url": f"{provider.url}/{each}/keys" for each in ("google", "apple")}
    trusting = msgspec.structs.replace(services.settings, **urls)
    wiring._services = wiring.Services(trusting, clock, services.clients)
    now = int(clock().timestamp())
    said = {"iss": ISSUERS[by], "sub": sub, "iat": now, "exp": now + 600}
    said |= {"aud": trusting.client_ids(by)[0]}  # type: ignore[arg-type]
    return provider.keys[by].token(said | claims)


def google_to_add(phone: Phone, clock: Clock) -> str:
    return token(clock, "google", f"ann {phone.user_id}")


def google_added(phone: Phone, clock: Clock) -> str:
    assert add_google(phone, google_to_add(phone, clock)).status == 204
    return ""


def apple_has_given(phone: Phone, clock: Clock) -> str:
    """An account that Apple signs in to, which is to be told when it goes."""
    store = wiring.services()._stores.accounts
    now, account = clock(), store.find(phone.user_id)
    assert account
    identity = Identity(subject=account.id, added_at=now, refresh_tokens={"app": "r"})
    assert store.add_way(account, "apple", identity, now, confirmed=False)
    return ""


def somebody_comes(_: Phone, clock: Clock) -> str:
    """Somebody new, by Google."""
    claims = {"email": "bob@gmail.com", "email_verified": True}
    return token(clock, "google", "bob", **claims)


def its_owner_comes(phone: Phone, clock: Clock) -> str:
    """Whose address it is that the account was opened with, and never confirmed."""
    google_added(phone, clock)
    claims = {"email": phone.email, "email_verified": True, "hd": "example.com"}
    return token(clock, "google", f"victim {phone.user_id}", **claims)


def another_address(phone: Phone, _: Clock) -> str:
    """The token of the link that was mailed to it."""
    body = {"email": f"new.{phone.email}", "password": PASSWORD}
    assert phone.post("/me/email", body).status == 202
    return token_in(delivered_to(body["email"])[-1])


# How it is asked for.


def announce(phone: Phone, id: str) -> Answer:
    return phone.announce(SOUND, id=id)


def announce_in_parts(phone: Phone, id: str) -> Answer:
    return phone.announce(SOUND, id=id, upload_method="multipart")


def announce_live(phone: Phone, id: str) -> Answer:
    return phone.announce_live(id=id)


def announce_pieces(phone: Phone, id: str) -> Answer:
    return phone.announce_pieces(id, 0, SOUND)


def complete_live(phone: Phone, id: str) -> Answer:
    return phone.complete_live(id, SOUND, sha256=hashlib.sha256(SOUND).hexdigest())


def announce_two(phone: Phone, ids: str) -> Answer:
    announced = {"file_name": "clip.m4a", "content_type": "audio/mp4", "size": len(SOUND)}
    return phone.post(
        "/recordings/batch", {"recordings": [announced | {"id": i} for i in ids.split()]}
    )


def delete(phone: Phone, id: str) -> Answer:
    return phone.delete(f"/recordings/{id}")


def restore(phone: Phone, id: str) -> Answer:
    return phone.post(f"/recordings/{id}/restore")


def share(phone: Phone, id: str) -> Answer:
    return phone.post(f"/recordings/{id}/links", {"id": id})


def take_back(phone: Phone, id: str) -> Answer:
    listed = phone.get(f"/recordings/{id}/links")
    for link in listed.json.get("links", []):
        listed = phone.delete(f"/recordings/{id}/links/{link['code']}")
    return listed


def open_link(phone: Phone, id: str) -> Answer:
    listed = phone.get(f"/recordings/{id}/links")
    for link in listed.json.get("links", []):
        listed = phone.get(f"/s/{link['code']}", headers={"Accept": "application/json"})
    return listed


def close(phone: Phone, _: str) -> Answer:
    return phone.delete("/me", body={"password": PASSWORD})


def export(phone: Phone, _: str) -> Answer:
    return phone.export()


def add_google(phone: Phone, id_token: str) -> Answer:
    return phone.post("/me/sign-in/google", {"id_token": id_token, "password": PASSWORD})


def remove_google(phone: Phone, _: str) -> Answer:
    return phone.delete("/me/sign-in/google")


def sign_in(phone: Phone, id_token: str) -> Answer:
    """Sign in on this very phone."""
    answer = phone.post("/auth/google", {"id_token": id_token})
    if answer.status in {200, 201}:
        phone.tokens = answer.json
    return answer


def sign_in_elsewhere(_: Phone, id_token: str) -> Answer:
    return sign_in(Phone(), id_token)


def open_mailed(_: Phone, link: str) -> Answer:
    return Phone().post("/auth/email/confirm", {"token": link})


def notice(phone: Phone, id: str) -> Answer:
    object = {"key": f"{phone.user_id}/{id}", "etag": hashlib.md5(SOUND).hexdigest()}  # noqa: S324
    detail = {"bucket": {"name": the_settings().uploads_bucket}, "object": object}
    return answer_of(lambda: jobs.notice({"detail": detail}, LAMBDA))


def notice_pieces(phone: Phone, id: str) -> Answer:
    """S3 tells of all that has arrived of a live upload, and of the last piece, if that is there.

    Those who look at it are not whom a fault is injected into.
    """
    bucket = the_settings().uploads_bucket
    folder = f"{phone.user_id}/{id}/"
    for name, [data] in sorted(shortcut.objects(bucket, folder).items()):
        etag = hashlib.md5(data or b"").hexdigest()  # noqa: S324
        found = {"key": f"{folder}{name}", "etag": etag}
        event = {"detail": {"bucket": {"name": bucket}, "object": found}}
        answer = answer_of(lambda event=event: jobs.notice(event, LAMBDA))  # type: ignore[misc]
        if answer.status != 200:
            return answer
    return Answer(200, {}, "")


def listen(phone: Phone, id: str) -> Answer:
    return answer_of(lambda: listen_instantly(phone, id))


def upkeep(_: Phone, __: str) -> Answer:
    return answer_of(wiring.services().upkeep.run)


def answer_of(job: Callable[[], object]) -> Answer:
    """What a job would be answered if it were a request; Lambda repeats one that fails."""
    try:
        job()
    except RecorderError as error:
        return Answer(error.status, {}, "")
    return Answer(200, {}, "")


# What is then true.


def plays(phone: Phone, id: str) -> bool:
    return id in phone.listed() and phone.download(id).content == SOUND


def is_drawn(phone: Phone, id: str) -> bool:
    return phone.get(f"/recordings/{id}/waveform").status == 200 and plays(phone, id)


def is_uploading(phone: Phone, id: str) -> bool:
    return phone.listed(status="uploading").count(id) == 1


def can_be_sent(phone: Phone, id: str) -> bool:
    if not is_uploading(phone, id):
        return False
    send(phone.resume(id).json["upload"], SOUND)
    return phone.complete(id).status == 200 and plays(phone, id)


def can_both_be_sent(phone: Phone, ids: str) -> bool:
    return all(can_be_sent(phone, id) for id in ids.split())


def can_be_recorded(phone: Phone, id: str) -> bool:
    if not is_uploading(phone, id):
        return False
    phone.send_pieces(id, 0, *PIECES)
    return complete_live(phone, id).status == 200 and plays(phone, id)


def plays_after_its_job(phone: Phone, id: str) -> bool:
    return notice_pieces(phone, id).status == 200 and plays(phone, id)


def is_gone(phone: Phone, id: str) -> bool:
    return phone.get(f"/recordings/{id}").status == 404


def is_in_the_trash(phone: Phone, id: str) -> bool:
    return phone.listed(status="trashed") == [id] and id not in phone.listed()


def is_shared_once(phone: Phone, id: str) -> bool:
    links = phone.get(f"/recordings/{id}/links").json["links"]
    return len(links) == 1 and open_link(phone, id).json["size"] == len(SOUND)


def is_not_shared(phone: Phone, id: str) -> bool:
    return phone.get(f"/recordings/{id}/links").json["links"] == [] and plays(phone, id)


def ways(phone: Phone) -> list[str]:
    return list(phone.get("/me").json["sign_in"])


def google_signs_in(phone: Phone, id_token: str) -> bool:
    return ways(phone) == ["password", "google"] and sign_in(phone.copy(), id_token).status == 200


def google_does_not(phone: Phone, _: str) -> bool:
    return ways(phone) == ["password"]


def they_have_an_account(_: Phone, id_token: str) -> bool:
    bob = Phone()
    return sign_in(bob, id_token).status == 200 and ways(bob) == ["google"]


def it_is_theirs_alone(phone: Phone, _: str) -> bool:
    return ways(phone) == ["google"] and phone.log_in().status == 401


def has_the_address(phone: Phone, _: str) -> bool:
    logs_in = phone.log_in(email=f"new.{phone.email}").status == 200
    return logs_in and phone.log_in().status == 401


def is_closed(phone: Phone, _: str) -> bool:
    return phone.get("/me").status == 401


def can_be_fetched(phone: Phone, id: str) -> bool:
    file = httpx.get(export(phone, id).json["url"], verify=NO_TLS).json()
    return id in [recording["id"] for recording in file["recordings"]]


USE_CASES = {
    "create": UseCase(nothing, announce, is_uploading, (201, 200)),
    "create a batch": UseCase(two_ids, announce_two, can_both_be_sent, (201,)),
    "create in parts": UseCase(nothing, announce_in_parts, can_be_sent, (201, 200)),
    "resume in parts": UseCase(announced_in_parts, Phone.resume, can_be_sent),
    "resume what S3 gave up": UseCase(given_up_by_s3, Phone.resume, can_be_sent),
    "complete": UseCase(sent, Phone.complete, plays),
    "complete in parts": UseCase(sent_in_parts, Phone.complete, plays),
    "create live": UseCase(nothing, announce_live, can_be_recorded, (201, 200)),
    "announce pieces": UseCase(announced_live, announce_pieces, can_be_recorded),
    "resume live": UseCase(recorded, Phone.resume, can_be_recorded),
    "complete live": UseCase(recorded, complete_live, plays),
    "complete a long live one": UseCase(
        recorded_for_long, complete_live, plays_after_its_job, (202, 200)
    ),
    "event of the last piece": UseCase(ended, notice_pieces, plays),
    "event of pieces of what was rolled back": UseCase(
        rolled_back_and_recorded_all_the_same, notice_pieces, is_gone
    ),
    "roll back live": UseCase(recorded, delete, is_gone, (204,)),
    "roll back what is put together": UseCase(ended, delete, is_gone, (204,)),
    "direct upload": UseCase(
        nothing, lambda phone, id: phone.put_audio(id, SOUND), plays, (201, 200)
    ),
    "event": UseCase(sent, notice, plays),
    "event of what was rolled back": UseCase(rolled_back_and_sent_all_the_same, notice, is_gone),
    "roll back": UseCase(sent, delete, is_gone, (204,)),
    "roll back in parts": UseCase(sent_in_parts, delete, is_gone, (204,)),
    "trash": UseCase(ready, delete, is_in_the_trash, (204,)),
    "restore": UseCase(in_the_trash, restore, plays),
    "delete for good": UseCase(ready_long_ago, Phone.delete_for_good, is_gone, (204,)),
    "share": UseCase(ready, share, is_shared_once, (201, 200)),
    "open a link": UseCase(shared, open_link, is_shared_once),
    "take a link back": UseCase(shared, take_back, is_not_shared, (204, 200)),
    "delete for good what is shared": UseCase(shared, Phone.delete_for_good, is_gone, (204,)),
    "listen": UseCase(ready, listen, is_drawn),
    "delete for good what was listened to": UseCase(
        listened_to_long_ago, Phone.delete_for_good, is_gone, (204,)
    ),
    "delete for good what cannot be read": UseCase(
        unreadable, Phone.delete_for_good, is_gone, (204,)
    ),
    "upkeep of what nobody listened to": UseCase(later(ready, minutes=6), upkeep, plays),
    "export": UseCase(ready, export, can_be_fetched),
    "add Google": UseCase(google_to_add, add_google, google_signs_in, (204,)),
    "remove Google": UseCase(google_added, remove_google, google_does_not, (204,)),
    "sign in anew": UseCase(somebody_comes, sign_in_elsewhere, they_have_an_account, (201, 200)),
    "take over": UseCase(its_owner_comes, sign_in, it_is_theirs_alone),
    "change the address": UseCase(another_address, open_mailed, has_the_address, (204,)),
    "close what Apple signs in to": UseCase(apple_has_given, close, is_closed, (204, 401)),
    # Who sends it again is nobody any more.
    "close the account": UseCase(sent, close, is_closed, (204, 401)),
    "upkeep of an upload that arrived": UseCase(later(sent, days=8), upkeep, plays),
    "upkeep of parts that arrived": UseCase(later(sent_in_parts, days=8), upkeep, plays),
    "upkeep of an upload that did not": UseCase(later(announced_in_parts, days=8), upkeep, is_gone),
    "upkeep of what fell silent": UseCase(later(recorded, days=2), upkeep, plays),
    "upkeep of what fell silent after long": UseCase(
        later(recorded_for_long, days=2), upkeep, plays_after_its_job
    ),
    "upkeep of a job that was lost": UseCase(later(ended, hours=1), upkeep, plays_after_its_job),
    "upkeep of what nothing came of": UseCase(later(announced_live, days=2), upkeep, is_gone),
    "upkeep of the trash": UseCase(later(in_the_trash, days=31), upkeep, is_gone),
    "upkeep of what is owed": UseCase(
        later(copied_after_the_deletion, minutes=16), upkeep, is_gone
    ),
    "upkeep of a closed account": UseCase(closed_with_something_left_everywhere, upkeep, is_closed),
}
