"""What is deployed: the code and nothing else, and a template that holds together."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from chalicelib.jobs import ENOUGH_MILLISECONDS
from ops import stages
from ops.gateway import answers
from ops.package import merged_into, slim
from ops.policies import GRANTS, JOBS, name_in_lambda, policy, substituted
from ops.stages import Stage
from tests.ops.test_template import template
from tests.support import ROOT, projects
from tests.support.phone import PASSWORD
from tests.support.server import BIN

STAGES = list(json.loads((ROOT / ".chalice" / "config.json").read_text())["stages"])
MOST_BYTES = 3_000_000
NO_VALUE = {"Ref": "AWS::NoValue"}
MAIL_FROM = "Recorder <no-reply@example.com>"
# Chalice's names of the functions in its template.
LOGICAL = {
    "api_handler": "APIHandler",
    "notice": "Notice",
    "listen": "Listen",
    "upkeep": "Upkeep",
    "deliver_mail": "DeliverMail",
}
# Of requirements.txt, but for what is never imported.
DEPENDENCIES = {"bcrypt", "email_validator", "idna", "jwt", "msgspec", "zxcvbn"}


def write_config(folder: Path) -> None:
    """Write what the stages are set to, of which prod was provisioned before."""
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    config["stages"]["prod"]["environment_variables"] |= {
        "RECORDER_UPLOADS_BUCKET": "already-provisioned",
        "RECORDER_MAIL_FROM": MAIL_FROM,
        "RECORDER_CORS_ORIGIN": "https://app.example.com",
    }
    (folder / ".chalice").mkdir(exist_ok=True)
    (folder / ".chalice" / "config.json").write_text(json.dumps(config))


# What we merge into Chalice's template


class Merged:
    """What is merged into Chalice's template of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage = Stage(stage)
        self.template = merged_into(self.stage)

    def properties(self, resource: str) -> Any:
        return self.template["Resources"][resource]["Properties"]

    def told(self, function: str) -> dict[str, Any]:
        """The variables of a function."""
        variables: dict[str, Any] = self.properties(LOGICAL[function])["Environment"]["Variables"]
        return variables


@pytest.fixture(params=STAGES, scope="module")
def merged(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Merged]:
    """Of each stage."""
    folder = tmp_path_factory.mktemp("project")
    write_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "ROOT", folder)
        yield Merged(request.param)


def test_what_the_stage_stands_on_is_in_it(merged: Merged) -> None:
    for name, resource in template["Resources"].items():
        if name != "ApiLog":
            there = merged.template["Resources"][name]
            assert there["Type"] == resource["Type"]
            assert there.get("DeletionPolicy") == resource.get("DeletionPolicy")
            assert there["Properties"].keys() == resource["Properties"].keys()


def test_what_is_set_is_no_parameter_which_would_stay_what_it_was(merged: Merged) -> None:
    # What is said with a deployment, and stays: whom to tell, and which key signs for browsers.
    said = {"AlarmEmail", "UploadKeySerial", "NoticeAtOnce", "ListenAtOnce"}
    assert {*merged.template["Parameters"]} == {"DeployedBy", *said}
    alarm = merged.properties("MailsMany")
    assert alarm["AlarmName"] == f"recorder-{merged.stage.name}-mails-many"
    assert alarm["Threshold"] == str(merged.stage.limits.mails_an_hour)


def test_a_function_is_told_where_everything_is_and_what_is_set_by_hand(merged: Merged) -> None:
    for function in GRANTS:
        told = merged.told(function)
        assert told["RECORDER_STAGE"] == merged.stage.name
        assert told["RECORDER_TABLE"] == {"Ref": "Table"}
        assert told["RECORDER_UPLOADS_BUCKET"] == {"Ref": "UploadsBucket"}
        assert told["RECORDER_RECORDINGS_BUCKET"] == {"Ref": "RecordingsBucket"}
        assert told["RECORDER_JWT_SECRET_ID"] == {"Ref": "JwtSecret"}
        assert "RECORDER_BACKEND" not in told
        assert (told.get("RECORDER_MAIL_FROM") == MAIL_FROM) == (merged.stage.name == "prod")
    assert "already-provisioned" not in json.dumps(merged.template)


def test_a_function_is_called_as_it_is_otherwise(merged: Merged) -> None:
    # The alarms go by these names.
    for function in GRANTS:
        name = merged.properties(LOGICAL[function])["FunctionName"]
        assert name == name_in_lambda(function, merged.stage.name)


def test_what_a_job_fails_at_for_good_is_a_dead_letter(merged: Merged) -> None:
    queue = {"Type": "SQS", "Destination": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}
    for job in JOBS:
        asked = merged.properties(LOGICAL[job])["EventInvokeConfig"]
        assert asked["DestinationConfig"] == {"OnFailure": queue}


def test_links_in_mails_begin_with_the_apis_address(merged: Merged) -> None:
    address = merged.told("deliver_mail")["RECORDER_PUBLIC_URL"]["Fn::Sub"]

    assert address == (
        "https://${RestAPI}.execute-api.${AWS::Region}.${AWS::URLSuffix}/" + merged.stage.name
    )


def test_the_stage_is_throttled_as_its_limits_say(merged: Merged) -> None:
    limits = merged.stage.limits

    (setting,) = merged.properties("RestAPI")["MethodSettings"]
    assert (setting["HttpMethod"], setting["ResourcePath"]) == ("*", "/*")
    assert setting["ThrottlingRateLimit"] == limits.requests_per_second
    assert setting["ThrottlingBurstLimit"] == limits.requests_at_once


def test_nothing_is_reserved_unless_it_is_asked_for(merged: Merged) -> None:
    # An account without that much would have the whole stack fail.
    for name in ("Notice", "Listen"):
        reserved = merged.properties(name)["ReservedConcurrentExecutions"]
        given = [f"Has{name}AtOnce", {"Ref": f"{name}AtOnce"}, NO_VALUE]
        assert reserved == {"Fn::If": given}
        assert merged.template["Parameters"][f"{name}AtOnce"]["Default"] == 0


def test_a_package_has_what_runs_compiled_and_is_the_same_every_time(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        file = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(file, "w") as zipped:
            for name in ("app.py", "dns/query.py", "a.dist-info/RECORD", "__pycache__/old.pyc"):
                zipped.writestr(name, f"# {name}")
        slim(file)
        made.append(file)

    with zipfile.ZipFile(made[0]) as zipped:
        names = zipped.namelist()
    assert names == [f"__pycache__/app.{sys.implementation.cache_tag}.pyc", "app.py"]
    assert made[0].read_bytes() == made[1].read_bytes()


# What `make package` writes


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
            if each["Type"] == "AWS::Serverless::LayerVersion":
                each["Properties"]["ContentUri"] = "s3://bucket/key"
        session = boto3.session.Session(region_name="us-east-1")
        made = Translator({}, Parser(), boto_session=session).translate(document, {})
        resources: dict[str, Any] = made["Resources"]
        return resources


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which one stage was provisioned before."""
    folder = tmp_path_factory.mktemp("project")
    projects.copy_to(folder)
    write_config(folder)
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


@pytest.mark.deep
def test_the_code_is_the_app_what_it_needs_and_nothing_else(unzipped: Path) -> None:
    there = {each.name for each in unzipped.iterdir()}

    assert there == {"app.py", "__pycache__", "chalicelib", "chalice", *DEPENDENCIES}


@pytest.mark.deep
def test_of_our_own_it_has_the_modules_and_the_pages_and_all_is_compiled(unzipped: Path) -> None:
    ours = {
        each.relative_to(ROOT)
        for each in (ROOT / "chalicelib").rglob("*")
        if each.is_file() and each.suffix != ".pyc"
    }
    there = [each for each in unzipped.rglob("*") if each.is_file()]
    sources = {each.relative_to(unzipped) for each in there if each.suffix != ".pyc"}

    assert {each for each in sources if each.parts[0] == "chalicelib"} == ours
    assert not [each for each in there if ".dist-info" in str(each)]
    compiled = [each.name.partition(".")[0] for each in there if each.suffix == ".pyc"]
    assert sorted(compiled) == sorted(each.stem for each in sources if each.suffix == ".py")


@pytest.mark.deep
def test_its_machine_code_is_for_lambda(unzipped: Path) -> None:
    libraries = [each.name for each in unzipped.rglob("*.so")]

    assert len(libraries) == 2
    assert not [name for name in libraries if "musl" in name or "darwin" in name]


@pytest.mark.deep
def test_the_layer_has_what_listening_takes_and_is_as_small_as_lambda_wants_it(
    project: Path, all_packaged: dict[str, Packaged]
) -> None:
    assert all_packaged
    with zipfile.ZipFile(project / "out" / "layer.zip") as zipped:
        files = zipped.infolist()
    names = {each.filename for each in files}

    assert {name.split("/")[1] for name in names} == {"av", "av.libs"}
    assert "python/av/__init__.py" in names
    assert not [name for name in names if "musl" in name or "darwin" in name]
    assert (project / "out" / "layer.zip").stat().st_size < 50 * 1000**2
    assert sum(each.file_size for each in files) < 250 * 1000**2


@pytest.mark.deep
def test_it_is_small(all_packaged: dict[str, Packaged]) -> None:
    assert len(all_packaged["prod"].code) <= MOST_BYTES


@pytest.mark.deep
def test_the_same_code_makes_the_same_bytes(all_packaged: dict[str, Packaged]) -> None:
    assert len({packaged.code for packaged in all_packaged.values()}) == 1


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


@pytest.mark.deep
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


@pytest.mark.deep
def test_the_templates_are_such_as_cfn_lint_passes(
    all_packaged: dict[str, Packaged], tmp_path: Path
) -> None:
    files = [tmp_path / f"{stage}.json" for stage in STAGES]
    for file in files:
        file.write_text(all_packaged[file.stem].text)

    ran = subprocess.run([BIN / "cfn-lint", *files], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.returncode) == ("", 0)


def holds(whole: Any, part: Any) -> bool:
    """Whether a document has all that another one has."""
    if isinstance(part, dict):
        return all(name in whole and holds(whole[name], each) for name, each in part.items())
    return bool(whole == part)


@pytest.mark.deep
def test_all_that_is_merged_into_the_template_is_there(
    packaged: Packaged, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "ROOT", project)
    merged = json.loads(json.dumps(merged_into(Stage(packaged.stage))))
    # Chalice adds nothing to a list of its own, such as the events.
    assert holds(json.loads(packaged.text), merged)


@pytest.mark.deep
def test_a_function_has_the_policy_that_it_is_deployed_with_otherwise(packaged: Packaged) -> None:
    variables = packaged.properties("DeliverMail")["Environment"]["Variables"]
    mail_from = variables.get("RECORDER_MAIL_FROM", "")
    for function in GRANTS:
        role = {"api_handler": "ApiHandlerRole"}.get(function, f"{LOGICAL[function]}Role")
        (given,) = packaged.properties(role)["Policies"]

        document = substituted(policy(function, packaged.stage, mail_from))
        assert given["PolicyDocument"] == document
        sends = function == "deliver_mail" and bool(mail_from)
        assert ("ses:SendEmail" in str(document)) == sends


@pytest.mark.deep
def test_what_the_shell_has_set_is_nowhere(packaged: Packaged) -> None:
    assert "of-the-shell" not in packaged.text


@pytest.mark.deep
def test_its_output_says_how_to_reserve_and_what_this_python_does(packaged: Packaged) -> None:
    assert "--parameter-overrides NoticeAtOnce=20 ListenAtOnce=10" in packaged.printed
    assert ("warning: Python 3." in packaged.printed) == (sys.version_info < (3, 12))


@pytest.mark.deep
def test_cloudformation_makes_of_it_what_is_meant(packaged: Packaged) -> None:
    made = packaged.translated()
    kinds = [each["Type"] for each in made.values()]
    (stage,) = [each for each in made.values() if each["Type"] == "AWS::ApiGateway::Stage"]
    deployment = made[stage["Properties"]["DeploymentId"]["Ref"]]

    assert stage["Properties"]["StageName"] == packaged.stage
    assert stage["Properties"]["TracingEnabled"] is True
    assert stage["Properties"]["MethodSettings"]
    # It would make a stage of its own.
    assert "StageName" not in deployment["Properties"]
    assert kinds.count("AWS::Lambda::EventInvokeConfig") == len(JOBS)
    for job, bucket in {"Notice": "UploadsBucket", "Listen": "RecordingsBucket"}.items():
        rule = made[f"{job}{job}Event"]["Properties"]["EventPattern"]
        assert rule["detail"]["bucket"]["name"] == [{"Ref": bucket}]
    assert [name for name, each in made.items() if "Layers" in each["Properties"]] == ["Listen"]


@pytest.mark.deep
def test_api_gateways_own_refusals_are_in_the_apps_form(packaged: Packaged) -> None:
    origin = "https://app.example.com" if packaged.stage == "prod" else "*"
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


@pytest.mark.deep
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


@pytest.mark.deep
def test_packaging_writes_neither_settings_nor_policies(
    all_packaged: dict[str, Packaged], project: Path
) -> None:
    assert all_packaged
    assert {each.name for each in (project / ".chalice").iterdir()} == {
        "config.json",
        "deployments",
    }
    assert "already-provisioned" in (project / ".chalice" / "config.json").read_text()
