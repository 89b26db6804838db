"""A stage is deployed by `make deploy`, with Chalice as it is, and taken away again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from app import app
from chalicelib import settings
from chalicelib.core.recordings.deletion import LONGEST_FUNCTION
from chalicelib.models import media_types
from chalicelib.models.fields import EVENT_SOURCE
from ops import finish, stages
from ops.gateway import REFUSALS
from ops.policies import GRANTS, JOBS, name_in_lambda
from ops.stages import Stage
from tests.ops.test_package import MOST_BYTES
from tests.support import projects
from tests.support.iam import ACCOUNT
from tests.support.stacks import REGION, place

# Each of them finds the stage as the one before it left it.
pytestmark = [
    pytest.mark.deep,
    # moto says so of what it does not make, whenever it is asked what a stack has.
    pytest.mark.filterwarnings("ignore:Tried to parse AWS::"),
]

CORS = "gatewayresponse.header.Access-Control-Allow-Origin"
OWN_ADDRESS = "https://recorder.example.com"
NAMES = {function: name_in_lambda(function, "prod") for function in GRANTS}


class Deployed(NamedTuple):
    """A stage on AWS, and the project that it was deployed from."""

    folder: Path
    printed: str
    before: dict[str, Any]
    """What there was after the first time."""
    now: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """What .chalice/config.json has."""
        config = json.loads((self.folder / ".chalice" / "config.json").read_text())
        variables: dict[str, str] = config["stages"]["prod"]["environment_variables"]
        return variables


def client(service: Any) -> Any:
    return boto3.client(service, REGION)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A stage that was deployed twice."""
    folder = tmp_path_factory.mktemp("project")
    projects.copy_to(folder)
    with place() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        states, printed = [], []
        for _ in range(2):
            printed.append(make(folder, "deploy"))
            states.append(state())
        yield Deployed(folder, printed[-1], *states)


def make(folder: Path, target: str, typed: str = "", **variables: str) -> str:
    ran = projects.make(folder, target, "prod", typed, **variables)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def state() -> dict[str, Any]:
    """What there is on AWS of the stage, but for when it was last written."""
    events, functions = client("events"), {}
    for function, name in NAMES.items():
        functions[function] = client("lambda").get_function(FunctionName=name)["Configuration"]
        del functions[function]["LastModified"]
    rules = {rule["Name"]: rule for rule in events.list_rules()["Rules"]}
    (api,) = client("apigateway").get_rest_apis()["items"]
    return {
        "functions": functions,
        "policies": {name: policy_of(each["Role"]) for name, each in functions.items()},
        "rules": rules,
        "targets": {name: events.list_targets_by_rule(Rule=name)["Targets"] for name in rules},
        "api": api,
        "refusals": client("apigateway").get_gateway_responses(restApiId=api["id"])["items"],
    }


def policy_of(role: str) -> Any:
    """The one policy of a role."""
    name = role.rpartition("/")[2]
    (policy,) = client("iam").list_role_policies(RoleName=name)["PolicyNames"]
    return client("iam").get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]


def test_a_second_deployment_changes_nothing(deployed: Deployed) -> None:
    assert "recorder-prod: nothing to change" in deployed.printed
    assert deployed.now == deployed.before


# Functions


def test_a_function_is_told_what_the_stage_is_set_to(deployed: Deployed) -> None:
    assert deployed.environment["RECORDER_TABLE"] == "recorder-prod"
    assert not {"RECORDER_BACKEND", "RECORDER_JWT_KEYS"} & {*deployed.environment}
    for function in deployed.now["functions"].values():
        assert function["Environment"]["Variables"] == deployed.environment
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_the_functions_settings_are_ones_that_the_app_starts_with(deployed: Deployed) -> None:
    in_lambda = deployed.environment | {"AWS_LAMBDA_FUNCTION_NAME": "recorder-prod"}

    assert settings.load(in_lambda).backend == "aws"


def test_links_in_mails_begin_with_the_address_that_the_api_got(deployed: Deployed) -> None:
    address = f"https://{deployed.now['api']['id']}.execute-api.{REGION}.amazonaws.com/prod"

    assert deployed.environment["RECORDER_PUBLIC_URL"] == address
    assert f"recorder-prod: {address}/" in deployed.printed


def test_a_function_may_do_what_its_policy_says_and_write_the_log_that_there_is(
    deployed: Deployed,
) -> None:
    for function, policy in deployed.now["policies"].items():
        file = deployed.folder / ".chalice" / f"policy-prod-{function}.json"
        assert policy == json.loads(file.read_text())

        log = f"/aws/lambda/{NAMES[function]}"
        groups = client("logs").describe_log_groups(logGroupNamePrefix=log)["logGroups"]
        assert {each["logGroupName"]: each["retentionInDays"] for each in groups}[log] == 90
        resources = [statement["Resource"] for statement in policy["Statement"]]
        assert any(each.endswith(f":log-group:{log}:log-stream:*") for each in resources)


def test_a_function_has_the_slim_code(deployed: Deployed) -> None:
    (made,) = (deployed.folder / ".chalice" / "deployments").glob("*.zip")

    assert made.stat().st_size < MOST_BYTES
    for function in deployed.now["functions"].values():
        assert function["CodeSize"] == made.stat().st_size
    with zipfile.ZipFile(made) as zipped:
        # What Chalice makes by itself has them.
        assert not [name for name in zipped.namelist() if ".dist-info/" in name]


def test_the_api_has_a_whole_processor_and_as_long_as_api_gateway_waits(
    deployed: Deployed,
) -> None:
    api = deployed.now["functions"]["api_handler"]

    assert (api["Handler"], api["MemorySize"], api["Timeout"]) == ("app.app", 1769, 29)


def test_a_job_runs_by_itself_and_what_it_fails_at_for_good_is_a_dead_letter(
    deployed: Deployed,
) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:recorder-prod-dead-letters"
    for job in JOBS:
        asked = client("lambda").get_function_event_invoke_config(FunctionName=NAMES[job])
        assert asked["DestinationConfig"]["OnFailure"] == {"Destination": queue}
        assert deployed.now["functions"][job]["Handler"] == f"chalicelib.jobs.{job}"


def test_upkeep_has_as_long_as_a_deletion_waits_for_what_is_under_way(deployed: Deployed) -> None:
    timeouts = {name: each["Timeout"] for name, each in deployed.now["functions"].items()}

    assert max(timeouts.values()) == timeouts["upkeep"] == LONGEST_FUNCTION.total_seconds()


def test_a_role_that_iam_does_not_know_yet_is_waited_for(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.awslambda.exceptions import InvalidParameterValueException
    from moto.awslambda.models import LambdaBackend

    monkeypatch.setattr(finish, "SECONDS_BETWEEN", 0)
    put, refusals = LambdaBackend.put_function_event_invoke_config, iter([1, 2])

    def refuse_twice(self: LambdaBackend, *given: Any, **named: Any) -> Any:
        if next(refusals, None):
            raise InvalidParameterValueException("The role has no permissions to call SendMessage")
        return put(self, *given, **named)

    monkeypatch.setattr(LambdaBackend, "put_function_event_invoke_config", refuse_twice)

    finish.finish(Stage("prod", deployed.folder))


def set_address(folder: Path, address: str) -> None:
    """Set by hand where links begin."""
    file = folder / ".chalice" / "config.json"
    config = json.loads(file.read_text())
    config["stages"]["prod"]["environment_variables"]["RECORDER_PUBLIC_URL"] = address
    stages.write(file, config)


def test_an_empty_address_is_none(deployed: Deployed) -> None:
    address = deployed.environment["RECORDER_PUBLIC_URL"]
    set_address(deployed.folder, "")

    finish.finish(Stage("prod", deployed.folder))

    assert deployed.environment["RECORDER_PUBLIC_URL"] == address


def test_api_gateway_keeps_only_what_is_in_use_of_what_was_deployed(deployed: Deployed) -> None:
    api = deployed.now["api"]["id"]
    (stage,) = client("apigateway").get_stages(restApiId=api)["item"]

    kept = client("apigateway").get_deployments(restApiId=api)["items"]

    assert [each["id"] for each in kept] == [stage["deploymentId"]]


# Schedules and events


@pytest.mark.parametrize(
    ("job", "schedule"), [("upkeep", "rate(15 minutes)"), ("deliver_mail", "rate(1 minute)")]
)
def test_a_job_has_its_schedule(deployed: Deployed, job: str, schedule: str) -> None:
    rule = f"recorder-prod-{job}-event"

    assert deployed.now["rules"][rule]["ScheduleExpression"] == schedule
    assert deployed.now["targets"][rule][0]["Arn"].endswith(f":function:{NAMES[job]}")


def test_what_arrives_in_the_uploads_bucket_is_noticed(deployed: Deployed) -> None:
    rule = "recorder-prod-notice-event"

    assert json.loads(deployed.now["rules"][rule]["EventPattern"]) == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [f"recorder-prod-uploads-{ACCOUNT}-{REGION}"]}},
    }
    assert deployed.now["targets"][rule][0]["Arn"].endswith(":function:recorder-prod-notice")


def test_what_is_kept_in_the_recordings_bucket_is_listened_to(deployed: Deployed) -> None:
    rule = "recorder-prod-listen-event"

    assert json.loads(deployed.now["rules"][rule]["EventPattern"]) == {
        # As S3 tells of it, and upkeep of what that missed.
        "source": ["aws.s3", EVENT_SOURCE],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [f"recorder-prod-recordings-{ACCOUNT}-{REGION}"]}},
    }
    assert deployed.now["targets"][rule][0]["Arn"].endswith(":function:recorder-prod-listen")


def test_the_function_that_listens_has_the_layer_and_no_other_has_one(deployed: Deployed) -> None:
    having = {name: each.get("Layers") for name, each in deployed.now["functions"].items()}
    (version,) = client("lambda").list_layer_versions(LayerName="recorder-prod-ffmpeg")[
        "LayerVersions"
    ]

    assert [each["Arn"] for each in having.pop("listen") or []] == [version["LayerVersionArn"]]
    assert not any(having.values())
    listen = deployed.now["functions"]["listen"]
    assert (listen["MemorySize"], listen["Timeout"]) == (1769, 900)


# The API


def methods(deployed: Deployed) -> dict[str, Any]:
    """Each path of the API, and each of its methods."""
    resources = client("apigateway").get_resources(
        restApiId=deployed.now["api"]["id"], limit=500, embed=["methods"]
    )
    return {
        each["path"]: each["resourceMethods"]
        for each in resources["items"]
        if each.get("resourceMethods")
    }


def test_the_api_has_every_route_and_no_other_and_each_is_the_apps(deployed: Deployed) -> None:
    declared = {path: {*methods, "OPTIONS"} for path, methods in app.routes.items()}
    function = deployed.now["functions"]["api_handler"]["FunctionArn"]
    there = methods(deployed)

    assert {path: set(by_name) for path, by_name in there.items()} == declared
    for by_name in there.values():
        for name in by_name.keys() - {"OPTIONS"}:
            address = by_name[name]["methodIntegration"]["uri"]
            assert address.partition("/functions/")[2] == f"{function}/invocations"


def test_audio_comes_as_the_bytes_it_is(deployed: Deployed) -> None:
    assert deployed.now["api"]["binaryMediaTypes"] == list(media_types.DIRECT)


def test_the_stage_has_its_name_and_is_throttled_as_its_limits_say(deployed: Deployed) -> None:
    (stage,) = client("apigateway").get_stages(restApiId=deployed.now["api"]["id"])["item"]
    limits, every = Stage("prod").limits, stage["methodSettings"]["*/*"]

    assert stage["stageName"] == "prod"
    assert every["throttlingRateLimit"] == limits.requests_per_second
    assert every["throttlingBurstLimit"] == limits.requests_at_once


def reserved_for(function: str) -> int | None:
    found = client("lambda").get_function_concurrency(FunctionName=NAMES[function])
    number: int | None = found.get("ReservedConcurrentExecutions")
    return number


@pytest.mark.usefixtures("deployed")
def test_a_part_of_the_accounts_concurrency_is_the_jobs_own() -> None:
    limits = Stage("prod").limits

    assert reserved_for("notice") == limits.notice_at_once
    assert reserved_for("listen") == limits.listen_at_once


def test_where_an_account_has_too_little_of_it_that_is_said(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client("lambda").delete_function_concurrency(FunctionName=NAMES["notice"])
    monkeypatch.setenv("MOTO_LAMBDA_CONCURRENCY_QUOTA", "10")

    finish.finish(Stage("prod", deployed.folder))

    assert "recorder-prod-notice: 20 at once are not reserved" in capsys.readouterr().out
    assert reserved_for("notice") is None


def test_a_preflight_is_answered_for_the_stages_own_origin(deployed: Deployed) -> None:
    answer = methods(deployed)["/me"]["OPTIONS"]["methodIntegration"]["integrationResponses"]

    headers = answer["200"]["responseParameters"]
    assert headers["method.response.header.Access-Control-Allow-Origin"] == "'*'"


def test_api_gateways_own_refusals_are_in_the_apps_form(deployed: Deployed) -> None:
    refusals = {each["responseType"]: each for each in deployed.now["refusals"]}

    assert set(refusals) == set(REFUSALS)
    for each in refusals.values():
        assert each["responseParameters"][CORS] == "'*'"
        problem = json.loads(each["responseTemplates"]["application/json"])
        assert problem["status"] == int(each["statusCode"])


# Taking it away: in this order, since what is gone is gone


def destroy(deployed: Deployed, typed: str, data: str = "keep") -> tuple[int, str]:
    ran = projects.make(deployed.folder, "destroy", "prod", typed, DATA=data)
    return ran.returncode, ran.stderr


def is_up() -> bool:
    return len(client("lambda").list_functions()["Functions"]) == len(GRANTS)


@pytest.mark.parametrize(
    ("typed", "data"),
    [("", "keep"), ("y\n", "keep"), ("recorder-dev\n", "keep")],
    ids=["nobody", "y", "another"],
)
def test_nothing_goes_unless_somebody_types_what(deployed: Deployed, typed: str, data: str) -> None:
    code, said = destroy(deployed, typed, data)

    assert code
    assert "make destroy: nothing was changed" in said
    assert is_up()


def test_the_data_of_prod_is_protected(deployed: Deployed) -> None:
    code, said = destroy(deployed, "delete all of prod\n", "delete")

    assert code
    assert "recorder-prod is protected" in said
    assert is_up()


@pytest.mark.parametrize("target", ["destroy", "deploy"])
def test_without_chalices_record_nothing_goes_and_no_second_api_is_made(
    deployed: Deployed, target: str
) -> None:
    record = deployed.folder / ".chalice" / "deployed" / "prod.json"
    kept = record.rename(deployed.folder / "kept.json")

    ran = projects.make(deployed.folder, target, "prod", "recorder-prod\n")

    kept.rename(record)
    assert ran.returncode
    assert ".chalice/deployed/prod.json does not have it" in ran.stderr
    assert is_up()
    assert len(client("apigateway").get_rest_apis()["items"]) == 1


def test_what_was_deployed_goes_and_what_holds_data_stays(deployed: Deployed) -> None:
    printed = make(deployed.folder, "destroy", "recorder-prod\n")

    assert "its alarm upkeep-overdue is on until make deploy" in printed
    assert client("lambda").list_functions()["Functions"] == []
    assert client("apigateway").get_rest_apis()["items"] == []
    assert client("events").list_rules()["Rules"] == []
    assert "recorder-prod" in client("dynamodb").list_tables()["TableNames"]
    (stack,) = client("cloudformation").describe_stacks()["Stacks"]
    assert stack["StackName"] == "recorder-prod"


@pytest.mark.usefixtures("deployed")
def test_the_logs_of_what_went_go_when_their_time_is_over() -> None:
    groups = client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]

    assert {f"/aws/lambda/{name}" for name in NAMES.values()} <= {
        each["logGroupName"] for each in groups if each.get("retentionInDays") == 90
    }
    assert all(each.get("retentionInDays") for each in groups)


def test_what_was_destroyed_is_deployed_again_with_its_data_and_with_one_api(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.apigateway.models import APIGatewayBackend

    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("cut off")

    # Somebody else's, which is half made, too; and ours, of a deployment that died half-way.
    others = client("apigateway").create_rest_api(name="recorder")["id"]
    with monkeypatch.context() as patch:
        patch.setattr(APIGatewayBackend, "create_deployment", die)
        assert projects.make(deployed.folder, "deploy", "prod").returncode
    assert len(client("apigateway").get_rest_apis()["items"]) == 2

    printed = make(deployed.folder, "deploy")

    assert "an API that a deployment which was cut off has left" in printed
    assert "recorder-prod: nothing to change" in printed
    assert is_up()
    client("apigateway").delete_rest_api(restApiId=others)
    (api,) = client("apigateway").get_rest_apis()["items"]
    assert api["id"] in deployed.environment["RECORDER_PUBLIC_URL"]


def test_what_was_cut_off_is_taken_away_by_the_next_run(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.awslambda.models import LambdaBackend

    set_address(deployed.folder, OWN_ADDRESS)
    delete, allowed = LambdaBackend.delete_function, iter([1, 2])

    def refuse_the_third(self: LambdaBackend, *given: Any, **named: Any) -> Any:
        if next(allowed, None):
            return delete(self, *given, **named)
        raise RuntimeError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(LambdaBackend, "delete_function", refuse_the_third)
        code, said = destroy(deployed, "recorder-prod\n")
        assert code
        assert "this can be run again" in said
        assert len(client("lambda").list_functions()["Functions"]) == len(GRANTS) - 2

    make(deployed.folder, "destroy", "recorder-prod\n")

    assert client("lambda").list_functions()["Functions"] == []
    assert client("events").list_rules()["Rules"] == []


def test_an_address_of_ones_own_outlives_the_api(deployed: Deployed) -> None:
    assert deployed.environment["RECORDER_PUBLIC_URL"] == OWN_ADDRESS


def test_asked_for_twice_everything_goes(deployed: Deployed) -> None:
    bucket = deployed.environment["RECORDER_RECORDINGS_BUCKET"]
    for _ in range(2):
        client("s3").put_object(Bucket=bucket, Key="a/b", Body=b"some sound")
    client("s3").create_multipart_upload(Bucket=bucket, Key="a/c")
    client("dynamodb").update_table(TableName="recorder-prod", DeletionProtectionEnabled=False)
    client("secretsmanager").create_secret(Name="recorder-prod-apple", SecretString="{}")

    make(deployed.folder, "destroy", "delete all of prod\n", DATA="delete")

    assert client("dynamodb").list_tables()["TableNames"] == []
    assert bucket not in [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    assert client("secretsmanager").list_secrets()["SecretList"] == []
    assert client("lambda").list_layers()["Layers"] == []
    assert client("cloudformation").describe_stacks()["Stacks"] == []
    by_hand = {"RECORDER_STAGE", "RECORDER_CORS_ORIGIN", "RECORDER_PUBLIC_URL"}
    assert set(deployed.environment) == by_hand
