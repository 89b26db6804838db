"""Provisioning: one stack, shown before it changes, and what Chalice deploys by."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ops import provision, rotate_key, runtime, stacks, stages
from ops.policies import APP, GRANTS
from ops.stages import ROOT
from tests.support.iam import ACCOUNT
from tests.support.stacks import REGION, place
from tests.test_architecture import importing

PROD = "recorder-prod"
CONFIG = json.loads((ROOT / ".chalice" / "config.json").read_text())
STAGES = CONFIG["stages"]
Capsys = pytest.CaptureFixture[str]

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder, whose stages are not yet on AWS, and a place for them there."""
    chalice = tmp_path / ".chalice"
    chalice.mkdir()
    chalice.joinpath("config.json").write_bytes((ROOT / ".chalice" / "config.json").read_bytes())
    monkeypatch.setattr(stages, "ROOT", tmp_path)
    monkeypatch.setattr(stacks, "POLL_SECONDS", 0)
    with place() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield chalice


@pytest.fixture
def cloudformation() -> Any:
    return boto3.client("cloudformation", REGION)


@pytest.fixture
def moto_stack() -> Callable[[], Any]:
    """The stack as moto holds it."""
    from moto.cloudformation.models import cloudformation_backends

    def find() -> Any:
        stacks = cloudformation_backends[ACCOUNT][REGION].stacks.values()
        return next(stack for stack in stacks if stack.name == PROD)

    return find


def provisioned(*arguments: str, stage: str = "prod") -> int:
    return provision.main(["--stage", stage, *arguments])


def config(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def environment(folder: Path, stage: str = "prod") -> dict[str, str]:
    variables: dict[str, str] = config(folder)["stages"][stage]["environment_variables"]
    return variables


def set_by_hand(folder: Path, **variables: str) -> None:
    changed = config(folder)
    changed["stages"]["prod"]["environment_variables"] |= variables
    (folder / "config.json").write_text(json.dumps(changed))


def parameters(cloudformation: Any) -> dict[str, str]:
    (stack,) = cloudformation.describe_stacks(StackName=PROD)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}


# The stack


FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "Code": {"ZipFile": "def run(event, context): pass"},
        "Handler": "index.run",
        "Role": f"arn:aws:iam::{ACCOUNT}:role/a-pipelines",
        "Runtime": "python3.12",
    },
}


def test_what_a_pipeline_deployed_is_not_touched(cloudformation: Any, capsys: Capsys) -> None:
    iam = boto3.client("iam")
    iam.create_role(RoleName="a-pipelines", AssumeRolePolicyDocument="{}")
    body = json.dumps({"Resources": {"Notice": FUNCTION}})
    cloudformation.create_stack(StackName=PROD, TemplateBody=body)

    assert provisioned() == 1

    assert "prod was deployed by a pipeline" in capsys.readouterr().err
    (stack,) = cloudformation.describe_stacks(StackName=PROD)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    cloudformation.delete_stack(StackName=PROD)
    iam.delete_role(RoleName="a-pipelines")


def test_the_stack_is_made_and_shown_before_it_is(cloudformation: Any, capsys: Capsys) -> None:
    assert provisioned() == 0

    (stack,) = cloudformation.describe_stacks(StackName=PROD)["Stacks"]
    printed = capsys.readouterr().out
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert f"{PROD} in account {ACCOUNT}, region {REGION}" in printed
    shown, progress = printed.index("make  Table"), printed.index(f"create_complete  {PROD}")
    assert shown < progress


def test_a_second_run_changes_nothing(folder: Path, capsys: Capsys) -> None:
    provisioned()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()

    assert provisioned() == 0

    assert f"{PROD}: nothing to change" in capsys.readouterr().out
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_what_the_stage_is_set_to_is_what_its_stack_is_made_with(
    folder: Path, cloudformation: Any
) -> None:
    set_by_hand(folder, RECORDER_UPLOAD_DAYS="10", RECORDER_CORS_ORIGIN="https://app.example.com")

    provisioned()

    made_with = parameters(cloudformation)
    assert made_with["Stage"] == "prod"
    assert made_with["StagingDays"] == "41"
    assert made_with["CorsOrigin"] == "https://app.example.com"


def set_limits(folder: Path, **limits: object) -> None:
    changed = config(folder)
    changed["stages"]["prod"]["limits"] |= limits
    (folder / "config.json").write_text(json.dumps(changed))


def test_what_a_stage_may_cost_is_what_its_stack_is_made_with(
    folder: Path, cloudformation: Any
) -> None:
    set_limits(folder, dollars_a_month=0, downloaded_bytes=1_000, mails_an_hour=50)

    provisioned()

    made_with = parameters(cloudformation)
    assert made_with["DollarsAMonth"] == "0"
    assert made_with["DownloadedBytes"] == "1000"
    assert made_with["MailsAnHour"] == "50"


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"dollars_a_month": "20"}, "dollars_a_month"),
        ({"notice": 3}, "notice"),
    ],
)
def test_a_limit_that_will_not_do_is_refused_by_its_name(
    folder: Path, capsys: Capsys, limits: dict[str, object], named: str
) -> None:
    set_limits(folder, **limits)

    assert provisioned() == 1

    said = capsys.readouterr().err
    assert "limits of prod in .chalice/config.json" in said
    assert named in said


def test_a_python_that_lambda_would_spoil_answers_with_is_refused_on_aws(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    monkeypatch.setattr(runtime.complaint, "__defaults__", ((3, 11, 9),))
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    assert provisioned() == 1

    assert "setup PYTHON=python3.12" in capsys.readouterr().err


def test_it_will_do_elsewhere_than_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.complaint, "__defaults__", ((3, 11, 9),))

    assert provisioned() == 0


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ENDPOINT_URL": "https://dynamodb.us-east-1.amazonaws.com"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        {"AWS_ENDPOINT_URL_LAMBDA": "https://lambda.us-east-1.amazonaws.com"},
    ],
    ids=str,
)
def test_aws_by_another_name_is_aws(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    assert runtime.leads_elsewhere()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert not runtime.leads_elsewhere()


@pytest.mark.parametrize("version", [(3, 12), (3, 12, 1), (3, 14, 0)])
def test_a_python_that_is_lambdas_own_is_nothing_to_complain_of(version: tuple[int, ...]) -> None:
    assert runtime.complaint(version) is None


def test_who_is_mailed_of_alarms_is_remembered(folder: Path, cloudformation: Any) -> None:
    provisioned("--alarm-email", "ops@example.com")
    set_by_hand(folder, RECORDER_UPLOAD_DAYS="10")

    provisioned()

    assert parameters(cloudformation)["AlarmEmail"] == "ops@example.com"


def test_what_the_template_no_longer_asks_for_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudformation.models import CloudFormationBackend

    create, sent = CloudFormationBackend.create_change_set, []

    def noting(self: CloudFormationBackend, *given: Any, **named: Any) -> Any:
        sent.append(set(named["parameters"]))
        return create(self, *given, **named)

    monkeypatch.setattr(CloudFormationBackend, "create_change_set", noting)
    earlier = stacks.template()
    earlier["Parameters"]["Gone"] = {"Type": "String", "Default": "x"}
    (tmp_path / "template.json").write_text(json.dumps(earlier))
    with monkeypatch.context() as patch:
        patch.setattr(stacks, "TEMPLATE", tmp_path / "template.json")
        provisioned()

    provisioned()

    (_, second) = sent
    assert second == stacks.template()["Parameters"].keys()


def test_a_stack_that_could_not_be_made_is_told_with_its_reasons(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    from moto.cloudformation.models import CloudFormationBackend

    def fail(self: CloudFormationBackend, *_: Any, **__: Any) -> None:
        (stack,) = self.stacks.values()
        stack._add_stack_event("CREATE_FAILED", resource_status_reason="No more tables")
        stack.status = "ROLLBACK_COMPLETE"

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", fail)

    assert provisioned() == 1

    assert "is in ROLLBACK_COMPLETE; recorder-prod: No more tables" in capsys.readouterr().err


FREED = (
    "aws dynamodb update-table --table-name recorder-prod --no-deletion-protection-enabled; "
    "and, if the table is empty: aws dynamodb delete-table --table-name recorder-prod; "
    "then: aws cloudformation delete-stack --stack-name recorder-prod"
)


def test_a_stack_that_cannot_be_changed_is_left_alone(
    moto_stack: Callable[[], Any], capsys: Capsys
) -> None:
    provisioned()
    for status, says in {
        **dict.fromkeys(("ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"), FREED),
        "ROLLBACK_COMPLETE": "aws cloudformation delete-stack --stack-name recorder-prod",
        "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback",
        "UPDATE_IN_PROGRESS": "try again when that is over",
    }.items():
        moto_stack().status = status

        assert provisioned() == 1

        assert says in capsys.readouterr().err
        assert moto_stack().status == status


def test_a_stack_that_was_only_proposed_is_made(
    cloudformation: Any, moto_stack: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.cloudformation.models import CloudFormationBackend

    create = CloudFormationBackend.create_change_set
    cloudformation.create_change_set(
        StackName=PROD,
        ChangeSetName="a",
        ChangeSetType="CREATE",
        TemplateBody=stacks.TEMPLATE.read_text(),
    )
    proposed = moto_stack()

    def of_the_same_stack(self: CloudFormationBackend, *given: Any, **named: Any) -> Any:
        self.stacks.pop(proposed.stack_id)  # moto would have two of the name.
        return create(self, *given, **named)

    monkeypatch.setattr(CloudFormationBackend, "create_change_set", of_the_same_stack)
    assert proposed.status == "REVIEW_IN_PROGRESS"

    assert provisioned() == 0

    assert moto_stack().status == "CREATE_COMPLETE"


# What holds data


@pytest.fixture
def without_the_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A next version of the template that has no secret any more; and somebody at the terminal."""
    provisioned()
    template = stacks.template()
    del template["Resources"]["JwtSecret"]
    template["Outputs"]["JwtSecret"]["Value"] = "elsewhere"
    (tmp_path / "template.json").write_text(json.dumps(template))
    monkeypatch.setattr(stacks, "TEMPLATE", tmp_path / "template.json")


def answering(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    def ask(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)


def has_the_secret(moto_stack: Callable[[], Any]) -> bool:
    return "JwtSecret" in list(moto_stack().resource_map)


@pytest.mark.usefixtures("without_the_secret")
def test_what_holds_data_is_not_removed_unless_somebody_says_its_stacks_name(
    moto_stack: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    for answer in ("", "y", "prod", None):
        answering(monkeypatch, answer)
        assert provisioned() == 1

        printed = capsys.readouterr()
        assert "remove  JwtSecret" in printed.out
        assert printed.err == "make deploy: nothing was changed\n"
        assert has_the_secret(moto_stack)

    answering(monkeypatch, PROD)
    assert provisioned() == 0
    assert not has_the_secret(moto_stack)


@pytest.mark.usefixtures("without_the_secret")
def test_a_pipeline_can_say_so_in_a_word_of_its_own(
    moto_stack: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, None)

    assert provisioned("--replace-data") == 0

    assert not has_the_secret(moto_stack)


@pytest.mark.parametrize(
    ("action", "replacement", "kind", "takes"),
    [
        ("Modify", "True", "AWS::DynamoDB::Table", True),
        ("Modify", "Conditional", "AWS::S3::Bucket", True),
        ("Remove", None, "AWS::SecretsManager::Secret", True),
        ("Modify", "False", "AWS::DynamoDB::Table", False),
        ("Add", None, "AWS::S3::Bucket", False),
        ("Modify", "True", "AWS::SQS::Queue", False),
        ("Remove", None, "AWS::CloudWatch::Alarm", False),
    ],
)
def test_replacing_is_like_removing(
    action: str, replacement: str | None, kind: str, takes: bool
) -> None:
    change: Any = {"Action": action, "LogicalResourceId": "It", "ResourceType": kind}
    if replacement:
        change["Replacement"] = replacement

    assert stacks.takes_data({"Type": "Resource", "ResourceChange": change}) is takes


# What Chalice deploys by


def test_the_functions_are_told_where_everything_is_and_what_is_set_by_hand(folder: Path) -> None:
    by_hand = {"RECORDER_TRASH_DAYS": "7", "RECORDER_MAIL_FROM": "no-reply@example.com"}
    set_by_hand(folder, **by_hand)
    before = config(folder)

    provisioned()

    told = environment(folder)
    assert told.pop("RECORDER_JWT_SECRET_ID").startswith(
        f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:recorder-prod-jwt-keys-"
    )
    assert told == by_hand | {
        "RECORDER_STAGE": "prod",
        "RECORDER_TABLE": "recorder-prod",
        "RECORDER_UPLOADS_BUCKET": f"recorder-prod-uploads-{ACCOUNT}-{REGION}",
        "RECORDER_RECORDINGS_BUCKET": f"recorder-prod-recordings-{ACCOUNT}-{REGION}",
        "RECORDER_CORS_ORIGIN": "*",
    }
    # The other stages stay as they are.
    after = config(folder)
    after["stages"]["prod"] = before["stages"]["prod"]
    assert after == before


def test_each_function_has_a_policy_of_its_own(folder: Path) -> None:
    provisioned()

    files = {function: folder / f"policy-prod-{function}.json" for function in GRANTS}
    functions = config(folder)["stages"]["prod"]["lambda_functions"]
    assert {name: each["iam_policy_file"] for name, each in functions.items()} == {
        function: file.name for function, file in files.items()
    }
    assert not [file for file in files.values() if "${" in file.read_text()]
    statements = json.loads(files["notice"].read_text())["Statement"]
    resources = {statement["Resource"] for statement in statements}
    assert f"arn:aws:s3:::recorder-prod-uploads-{ACCOUNT}-{REGION}/*" in resources
    assert f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/recorder-prod" in resources


# What signs for upload libraries

KEY = "RECORDER_UPLOAD_KEY_SECRET_ID"


def secret_of(folder: Path) -> dict[str, str]:
    """The key as the API finds it."""
    answer = boto3.client("secretsmanager", REGION).get_secret_value(
        SecretId=environment(folder)[KEY]
    )
    read: dict[str, str] = json.loads(answer["SecretString"])
    return read


def read_by(folder: Path) -> set[str]:
    """The functions that may read it."""
    id = environment(folder).get(KEY, "nothing")
    return {
        function
        for function in GRANTS
        if id in (folder / f"policy-prod-{function}.json").read_text()
    }


def test_a_key_for_upload_libraries_is_made_kept_counted_up_and_taken_away(
    folder: Path, cloudformation: Any, capsys: Capsys
) -> None:
    rotate = ["--stage", "prod", "--uploads"]
    assert (provisioned(), rotate_key.main(rotate)) == (0, 1)
    assert "make deploy ARGS='--upload-key on' makes one" in capsys.readouterr().err
    assert KEY not in environment(folder)
    assert read_by(folder) == set()

    assert provisioned("--upload-key", "on") == 0
    (user,) = boto3.client("iam").list_users()["Users"]
    (key,) = boto3.client("iam").list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]
    assert secret_of(folder)["access_key_id"] == key["AccessKeyId"]
    assert len(secret_of(folder)["secret_access_key"]) == 40
    assert read_by(folder) == {"api_handler"}

    assert rotate_key.main(rotate) == 0
    assert "signs for upload libraries now" in capsys.readouterr().out
    assert provisioned("--upload-key", "on") == 0
    assert parameters(cloudformation)["UploadKeySerial"] == "2"

    assert provisioned("--upload-key", "off", "--replace-data") == 0
    assert parameters(cloudformation)["UploadKeySerial"] == "0"
    assert KEY not in environment(folder)
    assert read_by(folder) == set()


# The stages


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_its_own_name_in_api_gateway_every_function_and_its_policy(stage: str) -> None:
    # CloudWatch tells the stages' APIs apart by it.
    assert STAGES[stage]["api_gateway_stage"] == stage
    assert STAGES[stage]["lambda_functions"] == {
        function: {"iam_policy_file": f"policy-{stage}-{function}.json"} for function in GRANTS
    }


def test_chalice_makes_no_policies_of_its_own() -> None:
    assert CONFIG["autogen_policy"] is False
    assert CONFIG["app_name"] == APP


def test_nothing_of_an_account_is_committed() -> None:
    for stage, settings in STAGES.items():
        own = {"RECORDER_STAGE": stage, "RECORDER_CORS_ORIGIN": "*"}
        # A bare `chalice local` puts what dev has in the place of what the shell says.
        assert settings["environment_variables"] == ({} if stage == "dev" else own)


# What cannot be done


def test_a_stage_is_not_made_anew_in_another_region(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    provisioned()
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-west-2")

    assert provisioned() == 1

    assert f"prod is where recorder-prod-uploads-{ACCOUNT}-{REGION} is" in capsys.readouterr().err
    assert boto3.client("cloudformation", "us-west-2").describe_stacks()["Stacks"] == []


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (("AWS_REGION", "AWS_DEFAULT_REGION"), "AWS is not told where: set AWS_DEFAULT_REGION"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS is not told who you are"),
    ],
    ids=["region", "credentials"],
)
def test_what_is_not_configured_is_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Capsys, lost: tuple[str, ...], says: str
) -> None:
    for name in lost:
        monkeypatch.delenv(name)

    assert provisioned() == 1

    printed = capsys.readouterr()
    assert printed.err.startswith(f"make deploy: {says}")
    assert printed.err.count("\n") == 1


def test_a_setting_that_cannot_be_used_is_named_before_anything_is_made(
    folder: Path, cloudformation: Any, capsys: Capsys
) -> None:
    set_by_hand(folder, RECORDER_TRASH_DAYS="soon")

    assert provisioned() == 1

    assert "RECORDER_TRASH_DAYS: is not a whole number" in capsys.readouterr().err
    assert cloudformation.describe_stacks()["Stacks"] == []


def test_a_stage_that_is_not_there_is_asked_for_wrongly(capsys: Capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        provisioned(stage="production")

    assert ended.value.code == 2
    assert "STAGE is one of dev, staging, prod" in capsys.readouterr().err


@pytest.mark.parametrize("lacking", ["log_retention_in_days", "lambda_functions", "limits"])
def test_what_a_stage_lacks_is_named_before_anything_is_made(
    folder: Path, cloudformation: Any, capsys: Capsys, lacking: str
) -> None:
    changed = config(folder)
    del changed["stages"]["prod"][lacking]
    (folder / "config.json").write_text(json.dumps(changed))

    assert provisioned() == 1

    assert f"prod in .chalice/config.json has no {lacking}" in capsys.readouterr().err
    assert cloudformation.describe_stacks()["Stacks"] == []


def test_it_runs_as_a_script_too() -> None:
    command = [sys.executable, "ops/provision.py", "--help"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "--alarm-email" in ran.stdout


def test_importing_the_commands_has_no_effects() -> None:
    done = importing("ops.provision", "ops.finish", "ops.destroy", "ops.rotate_key")

    assert (done["calls"], done["reads"], done["altered"]) == ([], [], False)
