"""What a stage is deployed again for: nothing, another setting, and once it was taken away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.deployed import libraries, operators
from tests.deployed.jobs import RECORDINGS, UPLOADS, Deployed
from tests.deployed.people import Person, noise, waited
from tests.deployed.stages import FUNCTIONS, STACK, STAGE
from tests.deployed.steps import Failed, Steps

TRASH_DAYS = 9

BY_A_PIPELINE: Steps[Deployed] = Steps("Deployed again, by a pipeline")
step = BY_A_PIPELINE.step


@step
def a_second_deployment_changes_nothing(on: Deployed) -> None:
    on.stage.package()
    assert on.stage.deploy_package() == []


@step
def another_setting_is_told_and_nothing_is_lost(on: Deployed) -> None:
    me, data = Person(on.api), noise(5000)
    kept, trashed = (me.upload_directly(data, "audio/mp4")["id"] for _ in range(2))
    before = on.stage.api_id
    on.stage.set({"RECORDER_TRASH_DAYS": str(TRASH_DAYS)})
    on.stage.set_limits({"mails_an_hour": 77})
    on.stage.package()
    assert on.stage.deploy_package()
    assert on.stage.api_id == before
    assert me.play(kept).content == data
    me.ask("DELETE", f"/recordings/{trashed}", 204)
    purged = datetime.fromisoformat(me.seen(trashed)["purge_at"]) - datetime.now(UTC)
    assert timedelta(days=TRASH_DAYS) - purged < timedelta(minutes=1)
    [alarm] = on.client("cloudwatch").describe_alarms(AlarmNames=[f"{STACK}-mails-many"])[
        "MetricAlarms"
    ]
    assert alarm["Threshold"] == 77


@step
def a_leaked_key_opens_nothing_any_more(on: Deployed) -> None:
    me = Person(on.api)
    rights = operators.of_docs("Replacing the key")
    said, _ = on.command("ops.rotate_key", "--stage", STAGE, "--leaked", rights=rights)
    assert "kept none" in said, said
    # Each process goes by the old keys for minutes. New ones do not.
    on.stage.restart()
    me.refuse("GET", "/me", 401, "not_authenticated")
    me.tokens = me.log_in()
    assert me.ask("GET", "/me")["email"] == me.email


@step
def what_a_pipeline_deployed_is_not_deployed_over_by_hand(on: Deployed) -> None:
    before = on.stage.api_id
    assert "by a pipeline" in on.stage.refused("deploy")
    assert on.stage.api_id == before
    on.api.ask("GET", "/health")


@step
def nothing_has_gone_wrong_since(on: Deployed) -> None:
    on.check_that_all_is_well()


@step
def a_deleted_stack_leaves_the_data(on: Deployed) -> None:
    me, data = Person(on.api), noise(1000)
    id = me.upload_directly(data, "audio/mp4")["id"]
    cloudformation = on.client("cloudformation")
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK)
    names = [each["FunctionName"] for each in on.client("lambda").list_functions()["Functions"]]
    assert not {*FUNCTIONS.values()} & {*names}
    assert on.client("apigateway").get_rest_apis()["items"] == []
    assert on.statuses(me) == {"ready"}
    found = on.client("s3").get_object(Bucket=RECORDINGS, Key=f"{me.id}/{id}")
    assert found["Body"].read() == data
    assert on.client("secretsmanager").describe_secret(SecretId=f"{STACK}-jwt-keys")


BY_CHALICE: Steps[Deployed] = Steps("Deployed again, and taken away, by make deploy")
by_chalice = BY_CHALICE.step


@by_chalice
def what_a_browsers_library_sends_is_signed_by_a_key_of_its_own(on: Deployed) -> None:
    me = Person(on.api)
    libraries.send_small(on, me)
    libraries.send_large(on, me)
    waited(lambda: not on.keys(UPLOADS, me), otherwise="What was completed is still there")
    # What the API may not sign S3 does not take.
    page, begun = libraries.page_of(on, me), me.announce(noise(1000))["recording"]
    asked = page.policy(begun["id"])
    asked["conditions"][0] = {"acl": "public-read"}
    me.refuse("POST", "/uploads/sign", 400, "invalid_request", json=asked)


@by_chalice
def another_key_for_libraries_takes_its_place(on: Deployed) -> None:
    before = libraries.key_of(on)
    on.stage.make("rotate-key", ARGS="--uploads")
    assert libraries.key_of(on) != before
    me = Person(on.api)
    # Who has just read the old one looks again half a minute later.
    waited(lambda: libraries.is_signed_for(on, me), 45, "The new key is not known")
    libraries.send_small(on, me)


@by_chalice
def a_second_make_deploy_changes_nothing(on: Deployed) -> None:
    before = on.stage.described()
    assert f"{STACK}: nothing to change" in on.stage.make("deploy")
    assert on.stage.described() == before
    gateway = on.client("apigateway")
    [kept] = gateway.get_deployments(restApiId=on.stage.api_id)["items"]
    [stage] = gateway.get_stages(restApiId=on.stage.api_id)["item"]
    assert kept["id"] == stage["deploymentId"]


@by_chalice
def another_setting_is_told_by_the_bare_command_and_nothing_is_lost(on: Deployed) -> None:
    me, data = Person(on.api), noise(5000)
    id = me.upload_directly(data, "audio/mp4")["id"]
    before = on.stage.described()
    on.stage.set({"RECORDER_TRASH_DAYS": str(TRASH_DAYS)})
    on.stage.chalice("deploy", "--stage", STAGE)
    after = on.stage.described()
    for function in after["functions"].values():
        assert function["Environment"]["Variables"].pop("RECORDER_TRASH_DAYS") == str(TRASH_DAYS)
    assert after == before
    on.api.refuse("GET", "/nowhere", 404, "not_found")
    assert me.play(id).content == data
    on.stage.chalice("package", "--stage", STAGE, "bare")


@by_chalice
def what_make_deploy_deployed_is_not_deployed_over_by_a_pipeline(on: Deployed) -> None:
    before = on.stage.described()
    on.stage.package()
    with pytest.raises((ClientError, Failed), match="DeployedBy"):
        on.stage.deploy_package()
    assert on.stage.described() == before


@by_chalice
def what_is_destroyed_leaves_the_data_and_is_deployed_again(on: Deployed) -> None:
    me, data = Person(on.api), noise(5000)
    id = me.upload_directly(data, "audio/mp4")["id"]
    assert "nothing was changed" in on.stage.refused("destroy", "no\n")
    on.stage.make("destroy", f"{STACK}\n")
    assert on.client("apigateway").get_rest_apis()["items"] == []
    for group in on.client("logs").describe_log_groups()["logGroups"]:
        assert group.get("retentionInDays") == 7, group
    on.stage.make("deploy")
    me.api = on.stage.api
    me.log_in()
    assert me.play(id).content == data


@by_chalice
def nothing_went_wrong_meanwhile(on: Deployed) -> None:
    on.check_that_all_is_well()


@by_chalice
def what_is_destroyed_with_its_data_is_gone(on: Deployed) -> None:
    on.stage.make("destroy", f"delete all of {STAGE}\n", DATA="delete")
    assert STACK not in on.client("dynamodb").list_tables()["TableNames"]
    buckets = [each["Name"] for each in on.client("s3").list_buckets()["Buckets"]]
    assert not {RECORDINGS, UPLOADS} & {*buckets}
    assert on.client("secretsmanager").list_secrets()["SecretList"] == []
    groups = on.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/recorder")
    assert groups["logGroups"] == [], groups["logGroups"]
