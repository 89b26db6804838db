"""What is deployed: the code and nothing else, and a template that holds together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from chalicelib.jobs import ENOUGH_MILLISECONDS
from ops.gateway import answers
from ops.policies import GRANTS, JOBS, name_in_lambda, policy, substituted
from ops.stages import Stage
from tests.ops.test_template import template
from tests.support import ROOT, projects
from tests.support.phone import PASSWORD
from tests.support.server import BIN

STAGES = list(json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"])
MOST_BYTES = 3_000_000
# Chalice's names of the functions in its template.
LOGICAL = {
    "api_handler": "APIHandler",
    "notice": "Notice",
    "upkeep": "Upkeep",
    "deliver_mail": "DeliverMail",
}
# Of requirements.txt, and what those require in turn.
DEPENDENCIES = {"bcrypt", "dns", "email_validator", "idna", "jwt", "msgspec", "zxcvbn"}


class Packaged:
    """What `make package` wrote for a stage."""

    def __init__(self, stage: str, folder: Path, printed: str) -> None:
        self.stage = stage
        self.printed = printed
        self.text = (folder / "out" / "sam.json").read_text()
        self.code = (folder / "out" / "deployment.zip").read_bytes()

    def properties(self, resource: str) -> Any:
        return json.loads(self.text)["Resources"][resource]["Properties"]

    def translated(self) -> dict[str, Any]:
        """The resources that CloudFormation makes of it."""
        document = json.loads(self.text)
        for each in document["Resources"].values():
            if each["Type"] == "AWS::Serverless::Function":
                each["Properties"]["CodeUri"] = "s3://bucket/key"
        session = boto3.session.Session(region_name="us-east-1")
        made = Translator({}, Parser(), boto_session=session).translate(document, {})
        resources: dict[str, Any] = made["Resources"]
        return resources


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which one stage was provisioned before."""
    folder = tmp_path_factory.mktemp("project")
    projects.copy_to(folder)
    file = folder / ".chalice" / "config.json"
    config = json.loads(file.read_text())
    config["stages"]["prod"]["environment_variables"] |= {
        "RECORDER_UPLOADS_BUCKET": "already-provisioned",
        "RECORDER_MAIL_FROM": "Recorder <no-reply@example.com>",
        "RECORDER_CORS_ORIGIN": "https://app.example.com",
    }
    file.write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def all_packaged(project: Path) -> dict[str, Packaged]:
    """The package of each stage."""
    packaged = {}
    for stage in STAGES:
        ran = projects.make(project, "package", stage)
        assert ran.returncode == 0, ran.stderr
        packaged[stage] = Packaged(stage, project, ran.stdout + ran.stderr)
    return packaged


@pytest.fixture(params=STAGES)
def packaged(all_packaged: dict[str, Packaged], request: pytest.FixtureRequest) -> Packaged:
    """A stage's package."""
    return all_packaged[request.param]


@pytest.fixture(scope="module")
def unzipped(all_packaged: dict[str, Packaged], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code, as Lambda has it."""
    folder = tmp_path_factory.mktemp("task")
    file = folder.with_suffix(".zip")
    file.write_bytes(all_packaged["prod"].code)
    with zipfile.ZipFile(file) as zipped:
        zipped.extractall(folder)
    return folder


# The code


def test_the_code_is_the_app_what_it_needs_and_nothing_else(unzipped: Path) -> None:
    there = {each.name for each in unzipped.iterdir()}

    assert there == {"app.py", "chalicelib", "chalice", *DEPENDENCIES}


def test_of_our_own_it_has_the_modules_and_the_pages(unzipped: Path) -> None:
    ours = {
        each.relative_to(ROOT)
        for each in (ROOT / "chalicelib").rglob("*")
        if each.is_file() and each.suffix != ".pyc"
    }
    there = (each.relative_to(unzipped) for each in (unzipped / "chalicelib").rglob("*"))

    assert {each for each in there if (unzipped / each).is_file()} == ours


def test_it_has_nothing_that_python_or_pip_leave_behind(unzipped: Path) -> None:
    names = [each.name for each in unzipped.rglob("*")]

    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|\.dist-info$", name)]


def test_its_machine_code_is_for_lambda(unzipped: Path) -> None:
    libraries = [each.name for each in unzipped.rglob("*.so")]

    assert len(libraries) == 2
    assert not [name for name in libraries if "musl" in name or "darwin" in name]


def test_it_is_small(all_packaged: dict[str, Packaged]) -> None:
    assert len(all_packaged["prod"].code) <= MOST_BYTES


def test_the_same_code_makes_the_same_bytes(all_packaged: dict[str, Packaged]) -> None:
    assert len({packaged.code for packaged in all_packaged.values()}) == 1


# It runs

HANDLERS = """
import json, sys
task, runtime = sys.argv[1:]
sys.path[:] = [task, *sys.path, runtime]
from chalicelib import jobs
from types import SimpleNamespace
class Context:
    aws_request_id = "1"
    def get_remaining_time_in_millis(self):
        return ENOUGH + 1
upkeep = jobs.upkeep({}, Context())
app_was_needed = "app" in sys.modules
import app
def ask(method, path, body=None):
    return app.app({
        "resource": path, "path": path, "httpMethod": method, "isBase64Encoded": False,
        "headers": {"Content-Type": "application/json"}, "multiValueHeaders": {},
        "multiValueQueryStringParameters": None, "pathParameters": None, "stageVariables": None,
        "body": json.dumps(body) if body else None,
        "requestContext": {"httpMethod": method, "resourcePath": path,
                           "identity": {"sourceIp": "192.0.2.1"}},
    }, Context())
signup = {"email": "somebody@example.com", "password": PASSWORD}
answers = ask("GET", "/health"), ask("POST", "/auth/signup", signup)
elsewhere = [
    module.__file__ for module in list(sys.modules.values())
    if "site-packages" in (getattr(module, "__file__", None) or "")
]
sys.stdout.write("\\n" + json.dumps([upkeep, app_was_needed, answers, elsewhere]))
""".replace("ENOUGH", str(ENOUGH_MILLISECONDS)).replace("PASSWORD", repr(PASSWORD))


def lambdas_own(folder: Path) -> Path:
    """A folder with boto3 and what it requires: what Lambda has besides what it is given."""
    wanted = ["boto3"]
    for name in wanted:
        dist = distribution(name)
        required = [line for line in dist.requires or [] if "extra ==" not in line]
        wanted += [re.split(r"[^\w.-]", line)[0] for line in required]
        for top in {file.parts[0] for file in dist.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(str(dist.locate_file(top)))
    return folder


def test_it_runs_with_only_boto3_beside_it(unzipped: Path, tmp_path: Path) -> None:
    # Neither this environment's packages nor this folder: -I and -S.
    command = [sys.executable, "-I", "-S", "-c", HANDLERS]
    command += [str(unzipped), str(lambdas_own(tmp_path))]
    environ = os.environ | {"AWS_LAMBDA_FUNCTION_NAME": "recorder-prod", "RECORDER_BACKEND": ""}

    ran = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stderr
    upkeep, app_was_needed, answers, elsewhere = json.loads(ran.stdout.splitlines()[-1])
    assert upkeep["failed"] == 0
    assert not app_was_needed
    assert [answer["statusCode"] for answer in answers] == [200, 201]
    assert elsewhere == []


# The template


def test_the_templates_are_such_as_cfn_lint_passes(
    all_packaged: dict[str, Packaged], tmp_path: Path
) -> None:
    files = [tmp_path / f"{stage}.json" for stage in STAGES]
    for file in files:
        file.write_text(all_packaged[file.stem].text)

    ran = subprocess.run([BIN / "cfn-lint", *files], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.returncode) == ("", 0)


def test_what_the_stage_stands_on_is_in_it(packaged: Packaged) -> None:
    made = packaged.translated()

    for name, resource in template["Resources"].items():
        if name != "ApiLog":
            assert made[name]["Properties"] == json.loads(json.dumps(resource["Properties"]))


def test_its_parameters_are_the_stages(packaged: Packaged) -> None:
    parameters = json.loads(packaged.text)["Parameters"]

    assert parameters["Stage"]["Default"] == packaged.stage
    assert parameters["Stage"]["AllowedPattern"] == f"^{packaged.stage}$"


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_has_the_policy_that_it_is_deployed_with_otherwise(
    packaged: Packaged, function: str
) -> None:
    mail_from = packaged.properties("DeliverMail")["Environment"]["Variables"].get(
        "RECORDER_MAIL_FROM", ""
    )
    role = {"api_handler": "ApiHandlerRole"}.get(function, f"{LOGICAL[function]}Role")

    (given,) = packaged.properties(role)["Policies"]

    document = substituted(policy(function, packaged.stage, mail_from))
    assert given["PolicyDocument"] == document
    assert ("ses:SendEmail" in str(document)) == (function == "deliver_mail" and bool(mail_from))


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_is_told_where_everything_is(packaged: Packaged, function: str) -> None:
    told = packaged.properties(LOGICAL[function])["Environment"]["Variables"]

    assert told["RECORDER_STAGE"] == packaged.stage
    assert told["RECORDER_TABLE"] == {"Ref": "Table"}
    assert told["RECORDER_UPLOADS_BUCKET"] == {"Ref": "UploadsBucket"}
    assert told["RECORDER_RECORDINGS_BUCKET"] == {"Ref": "RecordingsBucket"}
    assert told["RECORDER_JWT_SECRET_ID"] == {"Ref": "JwtSecret"}
    assert "RECORDER_BACKEND" not in told


@pytest.mark.parametrize("function", GRANTS)
def test_a_function_is_called_as_it_is_otherwise(packaged: Packaged, function: str) -> None:
    # The alarms go by these names.
    name = packaged.properties(LOGICAL[function])["FunctionName"]

    assert name == name_in_lambda(function, packaged.stage)


def test_what_is_set_by_hand_is_set_here_too(all_packaged: dict[str, Packaged]) -> None:
    prod = all_packaged["prod"]
    told = prod.properties("APIHandler")["Environment"]["Variables"]

    assert told["RECORDER_MAIL_FROM"] == "Recorder <no-reply@example.com>"
    assert "already-provisioned" not in prod.text


def test_what_the_shell_has_set_is_nowhere(packaged: Packaged) -> None:
    assert "of-the-shell" not in packaged.text


def test_the_event_is_of_the_stages_own_bucket(packaged: Packaged) -> None:
    rule = packaged.translated()["NoticeNoticeEvent"]["Properties"]["EventPattern"]

    assert rule["detail"]["bucket"]["name"] == [{"Ref": "UploadsBucket"}]


@pytest.mark.parametrize("job", JOBS)
def test_what_a_job_fails_at_for_good_is_a_dead_letter(packaged: Packaged, job: str) -> None:
    asked = packaged.translated()[f"{LOGICAL[job]}EventInvokeConfig"]["Properties"]

    queue = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert asked["DestinationConfig"] == {"OnFailure": {"Destination": queue}}


def test_links_in_mails_begin_with_the_apis_address(packaged: Packaged) -> None:
    told = packaged.properties("DeliverMail")["Environment"]["Variables"]

    address = told["RECORDER_PUBLIC_URL"]["Fn::Sub"]
    assert address == (
        "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/" + packaged.stage
    )


def test_api_gateways_own_refusals_are_in_the_apps_form(packaged: Packaged) -> None:
    origin = json.loads(packaged.text)["Parameters"]["CorsOrigin"]["Default"]
    body = packaged.translated()["RestAPI"]["Properties"]["Body"]

    there = body["x-amazon-apigateway-gateway-responses"]
    assert there == {
        kind: {
            "statusCode": str(answer.status),
            "responseParameters": {
                f"gatewayresponse.header.{name}": value for name, value in answer.headers.items()
            },
            "responseTemplates": answer.templates,
        }
        for kind, answer in answers(origin).items()
    }


def test_the_api_has_one_stage_which_is_traced(packaged: Packaged) -> None:
    made = packaged.translated().values()
    (stage,) = [each for each in made if each["Type"] == "AWS::ApiGateway::Stage"]
    (deployment,) = [each for each in made if each["Type"] == "AWS::ApiGateway::Deployment"]

    assert stage["Properties"]["StageName"] == packaged.stage
    # It would make one of its own.
    assert "StageName" not in deployment["Properties"]
    assert stage["Properties"]["TracingEnabled"] is True


def test_the_stage_is_throttled_as_its_limits_say(packaged: Packaged) -> None:
    made = packaged.translated().values()
    (stage,) = [each for each in made if each["Type"] == "AWS::ApiGateway::Stage"]

    limits = Stage(packaged.stage).limits
    (setting,) = stage["Properties"]["MethodSettings"]
    assert (setting["HttpMethod"], setting["ResourcePath"]) == ("*", "/*")
    assert setting["ThrottlingRateLimit"] == limits.requests_per_second
    assert setting["ThrottlingBurstLimit"] == limits.requests_at_once


def test_nothing_is_reserved_unless_it_is_asked_for(packaged: Packaged) -> None:
    # An account without that much would have the whole stack fail.
    notice = packaged.translated()["Notice"]["Properties"]

    reserved = ["ReservesNotice", {"Ref": "NoticeAtOnce"}, {"Ref": "AWS::NoValue"}]
    assert notice["ReservedConcurrentExecutions"] == {"Fn::If": reserved}
    assert json.loads(packaged.text)["Parameters"]["NoticeAtOnce"]["Default"] == 0


def test_its_output_says_how_to_reserve_and_what_this_python_does(
    all_packaged: dict[str, Packaged],
) -> None:
    for packaged in all_packaged.values():
        assert "--parameter-overrides NoticeAtOnce=20" in packaged.printed
        assert ("warning: Python 3." in packaged.printed) == (sys.version_info < (3, 12))


def test_each_function_has_its_log_kept_as_long_as_the_stage_says(packaged: Packaged) -> None:
    logs = [
        each["Properties"]
        for each in packaged.translated().values()
        if each["Type"] == "AWS::Logs::LogGroup"
    ]

    names = [re.sub(r"\$\{(\w+)}", r"\1", str(log["LogGroupName"])) for log in logs]
    assert len(set(names)) == len(GRANTS)
    assert f"/aws/lambda/recorder-{packaged.stage}" in names
    assert {log["RetentionInDays"] for log in logs} == {Stage(packaged.stage).log_days}


def test_packaging_writes_neither_settings_nor_policies(
    all_packaged: dict[str, Packaged], project: Path
) -> None:
    assert all_packaged
    assert {each.name for each in (project / ".chalice").iterdir()} == {
        "config.json",
        "deployments",
    }
    assert "already-provisioned" in (project / ".chalice" / "config.json").read_text()
