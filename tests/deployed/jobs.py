"""What happens without a request: events, schedules, mails, dead letters, operators' commands."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chalicelib.core.ids import uuid7
from ops.gateway import answers
from tests.deployed import operators
from tests.deployed.emulator import ACCOUNT, REGION
from tests.deployed.main_job import AS_JSON, HEARD, LISTENED_SECONDS, SOUND
from tests.deployed.people import Api, Person, as_json, noise, waited
from tests.deployed.stages import FUNCTIONS, SILENCE_SECONDS, STACK, STAGE, Stage
from tests.deployed.steps import Steps
from tests.support import ROOT

UPLOADS = f"{STACK}-uploads-{ACCOUNT}-{REGION}"
RECORDINGS = f"{STACK}-recordings-{ACCOUNT}-{REGION}"
# Upkeep's quarter of an hour takes 15 seconds here, and what it does a moment.
UPKEEP_SECONDS = 45
# When something is looked at, and what is looked at then.
TIMES = ("due_at", "upload_expires_at", "purge_at")
# What a job says to an event that is none.
PROVOKED = "KeyError: 'object'"
# Until a stage that is new to API Gateway is deployed whole, its jobs do not know its address.
NO_ADDRESS_YET = "is tried again: RECORDER_PUBLIC_URL is not set"
LONG_AGO = "2020-01-01T00:00:00.000000Z"


class Silent:
    """A recording whose app dies while it is sent, with a piece that never arrived."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.id = person.begin_live()
        first, lost, last = (noise(20_000) for _ in range(3))
        pieces = person.add_pieces(self.id, 0, [first, lost, last])["pieces"]
        person.send_piece(pieces[0], first)
        person.send_piece(pieces[2], last)
        self.arrived = first + last


@dataclass
class Deployed:
    """A stage, and its API."""

    stage: Stage
    api: Api

    def client(self, service: str) -> Any:
        return self.stage.emulator.client(service)

    @cached_property
    def silent(self) -> Silent:
        """Somebody whose app is silent from when this is first asked for."""
        return Silent(Person(self.api))

    def keys(self, bucket: str, person: Person) -> list[str]:
        """The keys that a bucket has of somebody's, versions of what was deleted too."""
        found = self.client("s3").list_object_versions(Bucket=bucket, Prefix=f"{person.id}/")
        there = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
        return [each["Key"] for each in there]

    def invoke(self, job: str, event: Any, how: str = "RequestResponse") -> Any:
        """Call a job by hand, as `aws lambda invoke` does; what it answered."""
        called = self.client("lambda").invoke(
            FunctionName=FUNCTIONS[job], InvocationType=how, Payload=json.dumps(event).encode()
        )
        said = called["Payload"].read()
        assert "FunctionError" not in called, said
        return json.loads(said or b"null")

    def mailed(self, person: Person, path: str, before: str = "") -> str:
        """The token of the link that somebody is mailed, once that came by its schedule.

        With that of a link that came before, the next one's.
        """
        url = f"{self.stage.emulator.url}/_ministack/ses/messages?account={ACCOUNT}"
        link = re.compile(rf"^{re.escape(self.stage.public_url + path)}#(\S+)$", re.MULTILINE)
        tokens: list[str] = []

        def came() -> bool:
            for mail in self.api.http.get(url).json()["messages"].get(ACCOUNT, []):
                if mail["To"] == [person.email]:
                    tokens.extend({*link.findall(mail["BodyText"])} - {before})
            return bool(tokens)

        waited(came, otherwise=f"No mail came with a link to {self.stage.public_url}{path}")
        return tokens[0]

    def dead_letters(self) -> list[Any]:
        """What is in the dead-letter queue, which is empty then."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=f"{STACK}-dead-letters")["QueueUrl"]
        letters = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for each in letters:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return [json.loads(each["Body"]) for each in letters]

    def check_that_all_is_well(self) -> None:
        """Fail at a dead letter, and at what a function logged that was not provoked."""
        letters = self.dead_letters()
        expected = (PROVOKED, NO_ADDRESS_YET)
        faults = [each for each in self.stage.faults() if not any(it in each for it in expected)]
        assert not letters, letters
        assert not faults, faults

    def let_time_pass(self, person: Person, only: str = "", until: str = LONG_AGO) -> None:
        """Have all that somebody's items wait for be due, or that of one recording alone."""
        table = self.client("dynamodb")
        theirs = {":pk": {"S": f"USER#{person.id}"}}
        found = table.query(
            TableName=STACK, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=theirs
        )
        for item in found["Items"]:
            times = [name for name in TIMES if name in item]
            if "due_at" in item and item["sk"]["S"].endswith(only):
                table.update_item(
                    TableName=STACK,
                    Key={"pk": item["pk"], "sk": item["sk"]},
                    UpdateExpression=f"SET {', '.join(f'{name} = :then' for name in times)}",
                    ExpressionAttributeValues={":then": {"S": until}},
                )

    @contextmanager
    def throttled_to_one(self) -> Iterator[None]:
        """Have the gateway hand on one request a second meanwhile."""
        gateway, api = self.client("apigateway"), self.stage.api_id
        kept = gateway.get_stage(restApiId=api, stageName=STAGE)["methodSettings"]["*/*"]
        limits = {"rateLimit": "throttlingRateLimit", "burstLimit": "throttlingBurstLimit"}

        def throttle(numbers: dict[str, Any]) -> None:
            patches = [
                {"op": "replace", "path": f"/*/*/throttling/{limit}", "value": str(number)}
                for limit, number in numbers.items()
            ]
            gateway.update_stage(restApiId=api, stageName=STAGE, patchOperations=patches)

        throttle(dict.fromkeys(limits, 1))
        try:
            yield
        finally:
            throttle({limit: kept[name] for limit, name in limits.items()})

    @contextmanager
    def without_events(self, job: str) -> Iterator[None]:
        """Have the events of a job be lost meanwhile."""
        events = self.client("events")
        [rule] = [
            each["Name"] for each in events.list_rules()["Rules"] if job in each["Name"].lower()
        ]
        events.disable_rule(Name=rule)
        try:
            yield
            # For what is on its way.
            time.sleep(1)
        finally:
            events.enable_rule(Name=rule)

    def statuses(self, person: Person) -> set[str]:
        """What is in the table of somebody's recordings."""
        found = self.client("dynamodb").query(
            TableName=STACK,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :recording)",
            ExpressionAttributeValues={
                ":pk": {"S": f"USER#{person.id}"},
                ":recording": {"S": "REC#"},
            },
        )
        return {each["status"]["S"] for each in found["Items"]}

    def command(
        self, *module: str, rights: list[dict[str, Any]], expected: int = 0, typed: str = ""
    ) -> tuple[str, str]:
        """Run an operator's command, of somebody who has these rights alone; what it said."""
        name = re.sub(r"\W+", "-", f"{time.time_ns()} {' '.join(module)}")[:60]
        identity = operators.make(self.stage.emulator, name, rights)
        ran = self.stage.run(identity, *module, typed=typed)
        told = f"{' '.join(module)}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        assert ran.returncode == expected, told
        return ran.stdout, ran.stderr


JOBS: Steps[Deployed] = Steps("The gateway, events, schedules and operators")
step = JOBS.step


# What API Gateway does by itself


@step
def the_gateways_own_refusals_are_in_the_apps_form(on: Deployed) -> None:
    found = on.client("apigateway").get_gateway_responses(restApiId=on.stage.api_id)["items"]
    refusals = {each["responseType"]: each for each in found}
    for kind, meant in answers(on.stage.variables().get("RECORDER_CORS_ORIGIN", "*")).items():
        refusal = refusals[kind]
        headers = {f"gatewayresponse.header.{name}": text for name, text in meant.headers.items()}
        assert refusal["statusCode"] == str(meant.status), kind
        assert refusal["responseParameters"] == headers, kind
        assert refusal["responseTemplates"] == meant.templates, kind


@step
def who_asks_too_often_is_told_when_to_ask_again(on: Deployed) -> None:
    with on.throttled_to_one():
        asked = [on.api.ask("GET", "/health", 0) for _ in range(5)]
    answer = next(each for each in asked if each.status_code == 429)
    assert answer.headers["Content-Type"] == "application/problem+json; charset=utf-8"
    assert (answer.headers["Retry-After"], answer.json()["code"]) == ("1", "too_many_attempts")


# Events


@step
def what_arrives_late_is_removed_and_changes_nothing(on: Deployed) -> None:
    me, data = Person(on.api), noise(5000)
    begun = me.announce(data)
    id, upload = begun["recording"]["id"], begun["upload"]
    me.send(upload, data)
    me.ask("POST", f"/recordings/{id}/complete")
    me.send(upload, noise(5000))
    waited(lambda: not on.keys(UPLOADS, me), otherwise="What came late is still there")
    assert me.play(id).content == data
    other = me.announce(data)
    me.ask("DELETE", f"/recordings/{other['recording']['id']}", 204)
    me.send(other["upload"], data)
    waited(lambda: not on.keys(UPLOADS, me), otherwise="What was rolled back is still there")
    assert on.keys(RECORDINGS, me) == [f"{me.id}/{id}"]


@step
def a_piece_that_arrives_late_is_removed(on: Deployed) -> None:
    me, data = Person(on.api), noise(5000)
    id = me.begin_live()
    [piece] = me.add_pieces(id, 0, [data])["pieces"]
    me.send_piece(piece, data)
    me.ask("POST", f"/recordings/{id}/complete", json={"size": len(data)})
    waited(lambda: not on.keys(UPLOADS, me), otherwise="What was put together is still there")
    me.send_piece(piece, data)
    waited(lambda: not on.keys(UPLOADS, me), otherwise="What came late is still there")
    assert me.play(id).content == data


@step
def what_nobody_listened_to_is_listened_to_all_the_same(on: Deployed) -> None:
    by_hand, by_upkeep, by_an_operator = (Person(on.api) for _ in range(3))
    ids = {}
    with on.without_events("listen"):
        for each in (by_hand, by_upkeep, by_an_operator):
            ids[each] = each.upload_directly(SOUND, "audio/webm")["id"]
    assert [each.id for each, id in ids.items() if "sound" in each.seen(id)] == []
    on.invoke("listen", _arrived(RECORDINGS, f"{by_hand.id}/{ids[by_hand]}"))
    assert by_hand.seen(ids[by_hand])["sound"] == HEARD
    on.let_time_pass(by_upkeep)
    _heard(by_upkeep, ids[by_upkeep], "Upkeep did not tell of it")
    assert "sound" not in by_an_operator.seen(ids[by_an_operator])
    said, _ = on.command("ops.listen", rights=operators.of_docs("Listening again"))
    _heard(by_an_operator, ids[by_an_operator], said)


def _heard(person: Person, id: str, otherwise: str) -> None:
    waited(lambda: "sound" in person.seen(id), LISTENED_SECONDS, otherwise)
    assert person.seen(id)["sound"] == HEARD


@step
def nothing_has_gone_wrong_so_far(on: Deployed) -> None:
    on.check_that_all_is_well()


@step
def what_a_job_fails_at_for_good_is_a_dead_letter(on: Deployed) -> None:
    event = {"detail": {"made up": True}}
    for job in (jobs := ("notice", "listen")):
        on.invoke(job, event, "Event")
    letters: list[Any] = []

    def came() -> bool:
        letters.extend(on.dead_letters())
        return len(letters) >= len(jobs)

    waited(came, otherwise="Not every dead letter came")
    for letter in letters:
        assert letter["requestPayload"] == event
        assert letter["requestContext"]["condition"] == "RetriesExhausted"
    for job in jobs:
        failed = [line for line in on.stage.logged(job) if "KeyError" in line.get("error", "")]
        assert len(failed) == 3, failed


# Schedules, and the same jobs by hand


@step
def an_address_is_confirmed_by_the_mail_that_its_schedule_sends(on: Deployed) -> None:
    me = Person(on.api)
    first = on.mailed(me, "/auth/email/confirm")
    me.ask("POST", "/me/email/confirmation", 202)
    token = on.mailed(me, "/auth/email/confirm", before=first)
    assert on.api.ask("GET", "/auth/email/confirm").headers["Content-Type"].startswith("text/html")
    on.api.ask("POST", "/auth/email/confirm", 204, json={"token": token})
    assert me.ask("GET", "/me")["email_confirmed"] is True


@step
def an_address_is_changed_by_the_mail_that_the_new_one_gets(on: Deployed) -> None:
    me, new = Person(on.api), f"{uuid7()}@example.com"
    me.ask("POST", "/me/email", 202, json={"email": new, "password": me.password})
    assert me.ask("GET", "/me")["email"] == me.email
    me.email = new
    token = on.mailed(me, "/auth/email/confirm")
    on.api.ask("POST", "/auth/email/confirm", 204, json={"token": token})
    assert me.ask("GET", "/me")["email"] == new


@step
def a_forgotten_password_is_replaced_by_mail(on: Deployed) -> None:
    me = Person(on.api)
    on.api.ask("POST", "/auth/password/forgot", 202, json={"email": me.email})
    token = on.mailed(me, "/auth/password/reset")
    assert on.api.ask("GET", "/auth/password/reset").headers["Content-Type"].startswith("text/html")
    given = {"token": token, "new_password": "a new one that is long enough"}
    on.api.ask("POST", "/auth/password/reset", 204, json=given)
    me.refuse("GET", "/me", 401, "not_authenticated")
    me.password = given["new_password"]
    me.log_in()
    again = given | {"new_password": "somebody else's, by the same link"}
    on.api.refuse("POST", "/auth/password/reset", 400, "invalid_request", json=again)


@step
def each_job_is_called_by_hand(on: Deployed) -> None:
    assert on.invoke("upkeep", {})["failed"] == 0
    on.invoke("deliver_mail", {})
    on.invoke("notice", _arrived(UPLOADS, "nobody/01890000-0000-7000-8000-000000000000"))


@step
def what_a_closed_account_had_goes_by_upkeeps_schedule(on: Deployed) -> None:
    me = Person(on.api)
    for _ in range(3):
        me.upload_directly(noise(1000), "audio/mp4")
    assert len(on.keys(RECORDINGS, me)) == 3
    me.close()
    waited(lambda: on.statuses(me) == {"deleted"}, UPKEEP_SECONDS, "Upkeep did not delete them")
    # What was under way at the deletion has a quarter of an hour.
    assert len(on.keys(RECORDINGS, me)) == 3
    on.let_time_pass(me)
    waited(lambda: not on.keys(RECORDINGS, me), UPKEEP_SECONDS, "Their bytes are still there")
    assert on.statuses(me) == set()


@step
def what_an_app_leaves_unfinished_becomes_a_recording(on: Deployed) -> None:
    me, id = on.silent.person, on.silent.id

    def ended() -> bool:
        return str(me.seen(id)["status"]) == "ready"

    waited(ended, SILENCE_SECONDS + UPKEEP_SECONDS, "Nobody ended what fell silent")
    assert me.seen(id)["interrupted"] is True
    assert me.play(id).content == on.silent.arrived


# Operators


@step
def the_audit_finds_nothing_with_the_rights_that_it_is_said_to_need(on: Deployed) -> None:
    said, summary = on.command("ops.audit", "--checksums", rights=operators.of_docs("The audit"))
    assert [each for each in as_json(said) if each["rule"] != "note"] == []
    assert re.search("audit: 0 breaches; looked at [1-9][0-9]* recordings", summary), summary


@step
def the_audit_finds_what_was_lost(on: Deployed) -> None:
    me, s3 = Person(on.api), on.client("s3")
    # Who listens to what is lost would say so, and rightly.
    with on.without_events("listen"):
        id = me.upload_directly(noise(1000), "audio/mp4")["id"]
        key = f"{me.id}/{id}"
        lost = s3.get_object(Bucket=RECORDINGS, Key=key)
        body, kind = lost["Body"].read(), lost["ContentType"]
        s3.delete_object(Bucket=RECORDINGS, Key=key, VersionId=lost["VersionId"])
        said, _ = on.command("ops.audit", rights=operators.of_docs("The audit"), expected=1)
        assert [
            each["rule"] for each in as_json(said) if each.get("key") == key or id in str(each)
        ] == ["I1"]
        s3.put_object(Bucket=RECORDINGS, Key=key, Body=body, ContentType=kind)
    me.ask("DELETE", f"/recordings/{id}", 204, params={"permanent": "true"})
    assert not on.keys(RECORDINGS, me)


@step
def an_operator_acts_on_a_user_and_a_link(on: Deployed) -> None:
    me, rights = Person(on.api), operators.of_docs("One user")
    found, _ = on.command("ops.users", "find", me.email, rights=rights)
    assert json.loads(found)["id"] == me.id
    on.command("ops.users", "suspend", me.id, "--why", "ticket 12", rights=rights)
    me.refuse("GET", "/me", 401, "not_authenticated")
    on.command("ops.users", "lift", me.id, rights=rights)
    assert me.ask("GET", "/me")["email"] == me.email
    id = me.upload_directly(noise(1000), "audio/mp4")["id"]
    link = me.ask("POST", f"/recordings/{id}/links", 201)
    on.command("ops.users", "take-back", link["url"], "--why", "reported", rights=rights)
    on.api.refuse("GET", f"/s/{link['code']}", 404, "not_found", headers=AS_JSON)
    on.command("ops.users", "close", me.id, rights=rights, typed=f"{me.id}\n")
    me.refuse("GET", "/me", 401, "not_authenticated")
    acts = [each for each in on.stage.logged("api_handler") if each.get("action")]
    done = [each["action"] for each in acts if each["user"] == me.id]
    assert done == ["find", "suspend", "lift", "take-back", "close"]


@step
def upkeep_runs_beside_the_job(on: Deployed) -> None:
    said, _ = on.command("local.upkeep", rights=on.stage.policy("upkeep")["Statement"])
    assert said.startswith("upkeep: "), said


@step
def a_replaced_key_logs_nobody_out(on: Deployed) -> None:
    me = Person(on.api)
    rights = operators.of_docs("Replacing the key")
    said, _ = on.command("ops.rotate_key", "--stage", STAGE, rights=rights)
    assert re.search("added .+, which signs from [0-9:]+ UTC on; kept .+; dropped none", said), said
    assert me.ask("GET", "/me")["id"] == me.id


@step
def nothing_but_what_was_provoked_has_gone_wrong(on: Deployed) -> None:
    on.check_that_all_is_well()


@step
def every_operation_that_is_documented_was_asked_for(on: Deployed) -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    operations = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    asked = {(line.get("method"), line.get("route")) for line in on.stage.logged("api_handler")}
    assert operations <= asked, sorted(operations - asked)


def _arrived(bucket: str, key: str) -> Any:
    created = {"bucket": {"name": bucket}, "object": {"key": key, "etag": "0" * 32}}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": created}
