"""The template says what S3 and DynamoDB must do where no emulator does it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from fnmatch import fnmatch
from typing import Any, NamedTuple

import pytest
from msgspec.inspect import type_info

from app import app
from chalicelib.aws.s3.exports import PREFIX as EXPORTS
from chalicelib.core.ids import uuid7
from chalicelib.core.upkeep import FIRST_DELAY, Tally
from chalicelib.settings import Settings
from chalicelib.telemetry import NAMESPACE
from ops import stacks
from ops.policies import GRANTS, JOBS, name_in_lambda
from ops.stages import Stage
from tests.support import ROOT

MINUTE = timedelta(minutes=1)
BUCKETS = ["UploadsBucket", "RecordingsBucket"]

template: dict[str, Any] = stacks.template()
resources = template["Resources"]


def properties(resource: str) -> Any:
    """What the template asks of a resource."""
    return resources[resource]["Properties"]


def the_rule(bucket: str, prefix: str | None = None) -> Any:
    """The one lifecycle rule of what is under a prefix; without one, of all that is in a bucket."""
    rules = properties(bucket)["LifecycleConfiguration"]["Rules"]
    (rule,) = [rule for rule in rules if rule.get("Prefix") == prefix]
    assert rule["Status"] == "Enabled"
    assert not rule.keys() & {"Filter", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan"}
    return rule


def bounds(field: str) -> tuple[int, int]:
    """The least and the most that a setting may be."""
    settings: Any = type_info(Settings)
    (found,) = [each.type for each in settings.fields if each.name == field]
    return found.ge, found.le


@pytest.mark.parametrize("resource", ["Table", *BUCKETS, "JwtSecret"])
def test_data_outlives_the_stack(resource: str) -> None:
    # But for a stack that could not be made: what it left would be in the way of the next one. A
    # table that is protected is, until somebody frees it: ops/stacks.py says how.
    assert resources[resource]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resources[resource]["UpdateReplacePolicy"] == "Retain"


def test_the_table_cannot_be_deleted_but_in_dev_and_staging() -> None:
    protection = properties("Table")["DeletionProtectionEnabled"]
    assert protection == {"Fn::If": ["IsProtected", True, False]}
    (unprotected,) = template["Conditions"]["IsProtected"]["Fn::Not"]
    assert unprotected["Fn::Or"] == [
        {"Fn::Equals": [{"Ref": "Stage"}, stage]} for stage in ("dev", "staging")
    ]


def test_the_table_forgets_by_ttl_and_can_be_restored_and_is_encrypted() -> None:
    asked = {
        "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "BillingMode": "PAY_PER_REQUEST",
    }
    assert properties("Table").items() >= asked.items()


@pytest.mark.parametrize("index", ["shelf", "changes"])
def test_lists_are_read_from_an_index_that_holds_whole_items(index: str) -> None:
    (found,) = [
        each for each in properties("Table")["LocalSecondaryIndexes"] if each["IndexName"] == index
    ]
    assert [key["AttributeName"] for key in found["KeySchema"]] == ["pk", index]
    assert found["Projection"] == {"ProjectionType": "ALL"}


def test_what_is_due_is_found_by_its_keys_and_how_often_it_was_put_off() -> None:
    (index,) = properties("Table")["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["due_shard", "due_at"]
    assert index["Projection"] == {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": ["postponed"],
    }


NONE = "BucketOwnerEnforced"


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_encrypted_and_closed_to_the_public_and_has_no_acls(bucket: str) -> None:
    (rule,) = properties(bucket)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    closed = "BlockPublicAcls BlockPublicPolicy IgnorePublicAcls RestrictPublicBuckets"
    assert properties(bucket)["PublicAccessBlockConfiguration"] == dict.fromkeys(
        closed.split(), True
    )
    (rule,) = properties(bucket)["OwnershipControls"]["Rules"]
    # But where Fine Uploader may send one, which has to say that it is private.
    may_have = {"UploadsBucket": {"Fn::If": ["SignsForBrowsers", "BucketOwnerPreferred", NONE]}}
    assert rule == {"ObjectOwnership": may_have.get(bucket, NONE)}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_refuses_whoever_comes_without_tls(bucket: str) -> None:
    policy = properties(f"{bucket}Policy")
    assert policy["Bucket"] == {"Ref": bucket}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    assert statement["Action"] == "s3:*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [
        {"Fn::GetAtt": [bucket, "Arn"]},
        {"Fn::Sub": f"${{{bucket}.Arn}}/*"},
    ]


def test_uploads_are_gone_when_their_staging_is_over_begun_or_whole() -> None:
    rule = the_rule("UploadsBucket")
    assert rule["ExpirationInDays"] == {"Ref": "StagingDays"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": {"Ref": "StagingDays"}}


def test_staging_lasts_four_lives_of_an_upload_and_a_day() -> None:
    # S3 counts from its beginning, the app from the last sign of its phone.
    staging = template["Parameters"]["StagingDays"]
    least, most = bounds("upload_days")
    assert staging["Default"] == 4 * Settings(backend="embedded").upload_days + 1
    assert (staging["MinValue"], staging["MaxValue"]) == (4 * least + 1, 4 * most + 1)


def test_an_export_is_gone_after_a_day() -> None:
    assert the_rule("UploadsBucket", EXPORTS)["ExpirationInDays"] == 1


def test_no_other_rule_empties_a_bucket() -> None:
    count = {
        bucket: len(properties(bucket)["LifecycleConfiguration"]["Rules"]) for bucket in BUCKETS
    }
    assert count == {"UploadsBucket": 2, "RecordingsBucket": 1}


def test_the_uploads_bucket_keeps_no_versions_and_tells_of_what_arrives() -> None:
    assert "VersioningConfiguration" not in properties("UploadsBucket")
    assert properties("UploadsBucket")["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


def test_a_browser_may_send_an_upload_and_read_its_etag() -> None:
    (rule,) = properties("UploadsBucket")["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == [{"Ref": "CorsOrigin"}]
    assert rule["AllowedMethods"] == ["PUT", "POST", "GET", "DELETE"]
    assert rule["AllowedHeaders"] == ["*"]
    assert rule["ExposedHeaders"] == ["ETag", "Location"]


def test_the_recordings_bucket_keeps_what_was_overwritten_for_30_days() -> None:
    assert properties("RecordingsBucket")["VersioningConfiguration"] == {"Status": "Enabled"}
    rule = the_rule("RecordingsBucket")
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["ExpiredObjectDeleteMarker"] is True
    # And no rule expires a recording.
    assert not rule.keys() & {"ExpirationInDays", "ExpirationDate"}


def test_a_browser_may_play_a_recording_and_seek_in_it() -> None:
    (rule,) = properties("RecordingsBucket")["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == [{"Ref": "CorsOrigin"}]
    assert rule["AllowedMethods"] == ["GET", "HEAD"]
    assert {"Accept-Ranges", "Content-Range"} <= set(rule["ExposedHeaders"])


def test_the_longest_bucket_name_is_one_that_s3_takes() -> None:
    pattern = template["Parameters"]["Stage"]["AllowedPattern"]
    assert pattern == "^[a-z][a-z0-9-]{0,14}$"
    name = properties("RecordingsBucket")["BucketName"]["Fn::Sub"]
    parts = {"Stage": "s" * 15, "AWS::AccountId": "1" * 12, "AWS::Region": "ap-southeast-1"}
    for part, value in parts.items():
        name = name.replace(f"${{{part}}}", value)
    assert len(name) <= 63


def test_the_outputs_name_what_the_app_is_configured_with() -> None:
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    named = {name: {"Ref": name} for name in ["Table", *BUCKETS, "JwtSecret"]}
    arns = {
        f"{name}Arn": {"Fn::GetAtt": [name, "Arn"]} for name in ["Table", *BUCKETS, "DeadLetters"]
    }
    of_browsers = {
        "UploadKeySecret": {"Ref": "UploaderSecret"},
        "UploadKeyId": {"Ref": "UploaderKey"},
    }
    assert outputs == named | arns | of_browsers | {"DeployedBy": {"Ref": "DeployedBy"}}


# What signs for upload libraries


OF_BROWSERS = ("Uploader", "UploaderKey", "UploaderSecret")


def test_nobody_signs_for_upload_libraries_unless_that_is_asked_for() -> None:
    assert template["Parameters"]["UploadKeySerial"]["Default"] == 0
    made = {name for name, each in template["Resources"].items() if "IAM" in each["Type"]}
    assert made == {"Uploader", "UploaderKey"}
    told = {name for name, each in template["Outputs"].items() if "Condition" in each}
    assert told == {"UploadKeySecret", "UploadKeyId"}
    for each in [*map(resources.get, OF_BROWSERS), *map(template["Outputs"].get, told)]:
        assert each["Condition"] == "SignsForBrowsers"


def test_who_signs_may_only_put_under_a_users_prefix_of_the_uploads_bucket() -> None:
    assert properties("Uploader").keys() == {"Policies"}
    (given,) = properties("Uploader")["Policies"]
    statements = given["PolicyDocument"]["Statement"]

    assert [each["Action"] for each in statements] == [
        ["s3:AbortMultipartUpload", "s3:PutObject"],
        "s3:PutObjectAcl",
    ]
    for each in statements:
        pattern = each["Resource"]["Fn::Sub"]
        assert fnmatch(f"${{UploadsBucket.Arn}}/{uuid7()}/{uuid7()}", pattern)
        assert not fnmatch("${UploadsBucket.Arn}/exports/x/y.json", pattern)
    assert statements[1]["Condition"] == {"StringEquals": {"s3:x-amz-acl": "private"}}


def test_the_key_is_another_one_when_it_is_counted_up() -> None:
    assert properties("UploaderKey") == {
        "UserName": {"Ref": "Uploader"},
        "Serial": {"Ref": "UploadKeySerial"},
    }
    assert json.loads(properties("UploaderSecret")["SecretString"]["Fn::Sub"]) == {
        "access_key_id": "${UploaderKey}",
        "secret_access_key": "${UploaderKey.SecretAccessKey}",
    }


def test_the_template_is_small_enough_to_be_sent_as_it_is() -> None:
    assert stacks.TEMPLATE.stat().st_size <= 51_200  # CloudFormation's own limit.


# What watches over it


def alarms() -> dict[str, Any]:
    """The alarms, by what their names end with."""
    found = [each for each in resources.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    return {
        each["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("recorder-${Stage}-"): each[
            "Properties"
        ]
        for each in found
    }


class Watched(NamedTuple):
    """What an alarm looks at, and from where on that is one; in CloudWatch's own words."""

    namespace: str
    statistic: str
    metrics: list[str]
    dimensions: list[dict[str, str]]
    comparison: str
    threshold: float
    missing: str


SES, S3 = "AWS/SES", "AWS/S3"
AT_LEAST, ABOVE = "GreaterThanOrEqualToThreshold", "GreaterThanThreshold"
QUIET, ALARMING, AS_BEFORE = "notBreaching", "breaching", "ignore"
API = {"ApiName": app.app_name, "Stage": "prod"}
STAGE = {"stage": "prod"}
LISTEN = {"FunctionName": "recorder-prod-listen"}
JOB_NAMES = [{"FunctionName": name_in_lambda(job, "prod")} for job in JOBS if job != "listen"]
THROTTLED = ["ReadThrottleEvents", "WriteThrottleEvents"]
QUEUE, WAITING = {"QueueName": "recorder-prod-dead-letters"}, "ApproximateNumberOfMessagesVisible"
RECORDINGS_OF_PROD = {"BucketName": "recorder-prod-recordings-1-r", "FilterId": "all"}
IN_PROD = {
    "Stage": "prod",
    "AWS::AccountId": "1",
    "AWS::Region": "r",
    **Stage("prod").limits.parameters(),
}

WATCHED = {
    "api-errors": Watched("AWS/ApiGateway", "Sum", ["5XXError"], [API], AT_LEAST, 5, QUIET),
    "api-latency": Watched("AWS/ApiGateway", "p95", ["Latency"], [API], ABOVE, 3000, QUIET),
    # Upkeep that does not run says nothing.
    "upkeep-overdue": Watched(
        NAMESPACE, "Maximum", ["upkeep_overdue_seconds"], [STAGE], ABOVE, 3600, ALARMING
    ),
    "upkeep-failing": Watched(NAMESPACE, "Sum", ["upkeep_failed"], [STAGE], AT_LEAST, 1, QUIET),
    "job-errors": Watched("AWS/Lambda", "Sum", ["Errors"] * 3, JOB_NAMES, AT_LEAST, 5, QUIET),
    "listen-errors": Watched("AWS/Lambda", "Sum", ["Errors"], [LISTEN], AT_LEAST, 5, QUIET),
    "dead-letters-waiting": Watched("AWS/SQS", "Maximum", [WAITING], [QUEUE], ABOVE, 0, QUIET),
    "table-throttled": Watched(
        "AWS/DynamoDB", "Sum", THROTTLED, [{"TableName": "recorder-prod"}] * 2, AT_LEAST, 10, QUIET
    ),
    "mails-failing": Watched(NAMESPACE, "Sum", ["mails_failed"], [STAGE], AT_LEAST, 5, QUIET),
    "mails-many": Watched(NAMESPACE, "Sum", ["mails_sent"], [STAGE], ABOVE, 1000, QUIET),
    # Where SES begins to look into an account. It says nothing while nothing is sent.
    "mails-bouncing": Watched(
        SES, "Maximum", ["Reputation.BounceRate"], [{}], AT_LEAST, 0.05, AS_BEFORE
    ),
    "mails-complained": Watched(
        SES, "Maximum", ["Reputation.ComplaintRate"], [{}], AT_LEAST, 0.001, AS_BEFORE
    ),
    "downloads": Watched(
        S3, "Sum", ["BytesDownloaded"], [RECORDINGS_OF_PROD], ABOVE, 25_000_000_000, QUIET
    ),
}


def in_prod(value: Any) -> Any:
    """What a value of the template is in prod."""
    match value:
        case {"Ref": "Table"}:
            return in_prod(properties("Table")["TableName"])
        case {"Ref": "RecordingsBucket"}:
            return in_prod(properties("RecordingsBucket")["BucketName"])
        case {"Ref": name}:
            return IN_PROD[name]
        case {"Fn::GetAtt": ["DeadLetters", "QueueName"]}:
            return in_prod(properties("DeadLetters")["QueueName"])
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{([\w:]+)}", lambda name: IN_PROD.get(name[1], "x"), text)
    return value


def watched(alarm: Any) -> Watched:
    """What an alarm looks at, as the template has it."""
    several = [each["MetricStat"] for each in alarm.get("Metrics", [])[1:]]
    found = [each["Metric"] for each in several] or [alarm]
    (namespace,) = {each["Namespace"] for each in found}
    (statistic,) = {each["Stat"] for each in several} or {
        alarm.get("Statistic") or alarm["ExtendedStatistic"]
    }
    return Watched(
        namespace,
        statistic,
        [each["MetricName"] for each in found],
        [
            {pair["Name"]: in_prod(pair["Value"]) for pair in each.get("Dimensions", [])}
            for each in found
        ],
        alarm["ComparisonOperator"],
        float(in_prod(alarm["Threshold"])),
        alarm["TreatMissingData"],
    )


def emitted() -> set[str]:
    """The metrics that the app makes: what it counts, and what upkeep did."""
    counted = {
        name
        for file in (ROOT / "chalicelib").rglob("*.py")
        for given in re.findall(r"telemetry\.count\(([^*].*?)\)\n", file.read_text())
        for name in re.findall(r"(\w+)=", given)
    }
    return counted | {f"upkeep_{name}" for name in Tally.__struct_fields__}


def test_every_alarm_looks_at_what_it_is_for() -> None:
    assert {name: watched(alarm) for name, alarm in alarms().items()} == WATCHED


def test_alarms_on_the_apps_own_metrics_are_on_ones_that_it_makes() -> None:
    own = [each.metrics for each in WATCHED.values() if each.namespace == NAMESPACE]

    assert {name for names in own for name in names} <= emitted()


@pytest.mark.parametrize("name", ["job-errors", "table-throttled"])
def test_an_alarm_on_a_sum_counts_what_says_nothing_as_none(name: str) -> None:
    total, *parts = alarms()[name]["Metrics"]

    assert total["Expression"] == " + ".join(f"FILL({each['Id']}, 0)" for each in parts)


def hours_of_failing(first: int) -> set[int]:
    """In which hours of a day upkeep fails at what is stuck, from a minute of the first one on."""
    at, hours, delay = first, set(), FIRST_DELAY // MINUTE
    while at < 24 * 60:
        hours.add(at // 60)
        # It comes back with the first run of the schedule after that.
        at += -(-delay // 15) * 15
        delay *= 2
    return hours


def test_one_thing_that_is_stuck_is_upkeep_failing_at_whatever_minute_it_began() -> None:
    alarm = alarms()["upkeep-failing"]
    of = alarm["EvaluationPeriods"]

    assert alarm["Period"] == 3600
    assert alarm["DatapointsToAlarm"] == min(
        max(len(hours & {*range(end - of, end)}) for end in range(of, 25))
        for hours in map(hours_of_failing, range(60))
    )


def test_an_alarm_tells_somebody_when_it_begins_and_when_it_is_over() -> None:
    for alarm in alarms().values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]


def test_upkeep_is_overdue_after_an_hour() -> None:
    alarm = alarms()["upkeep-overdue"]

    assert alarm["Threshold"] == alarm["Period"] * alarm["EvaluationPeriods"] == 3600


def delay(tries: int) -> int:
    """In which minute a mail that cannot be sent is tried for so many times, from the first on."""
    at = 0
    for _ in range(tries - 1):
        at += 1 + at
    return at


def test_one_mail_that_cannot_be_sent_is_not_mails_failing() -> None:
    alarm = alarms()["mails-failing"]

    assert delay(tries=int(alarm["Threshold"])) >= alarm["Period"] // 60


@pytest.mark.parametrize("resource", ["Budget", "AlarmsPolicy"])
def test_a_budget_of_nothing_is_none(resource: str) -> None:
    nothing = {"Fn::Not": [{"Fn::Equals": [{"Ref": "DollarsAMonth"}, 0]}]}

    assert template["Parameters"]["DollarsAMonth"]["Default"] == 0
    assert resources[resource]["Condition"] == "HasBudget"
    assert template["Conditions"]["HasBudget"] == nothing


def test_the_budget_tells_at_half_of_it_and_at_all_of_it_and_when_it_will_be() -> None:
    found = properties("Budget")
    told = [each["Notification"] for each in found["NotificationsWithSubscribers"]]
    to = [each["Subscribers"] for each in found["NotificationsWithSubscribers"]]

    limit = {"Amount": {"Ref": "DollarsAMonth"}, "Unit": "USD"}
    assert found["Budget"]["BudgetLimit"] == limit
    assert found["Budget"]["TimeUnit"] == "MONTHLY"
    assert [(each["NotificationType"], each["Threshold"]) for each in told] == [
        ("ACTUAL", 50),
        ("ACTUAL", 100),
        ("FORECASTED", 100),
    ]
    assert to == [[{"SubscriptionType": "SNS", "Address": {"Ref": "Alarms"}}]] * 3


def test_the_alarms_topic_takes_word_from_this_accounts_alarms_and_budgets_only() -> None:
    (statement,) = properties("AlarmsPolicy")["PolicyDocument"]["Statement"]

    services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]
    assert statement["Principal"] == {"Service": services}
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert statement["Condition"] == {"StringEquals": account}


def test_downloads_are_counted_only_where_somebody_wants_to_know() -> None:
    counted = properties("RecordingsBucket")["MetricsConfigurations"]

    of_none = {"Ref": "AWS::NoValue"}
    (name,) = [d["Value"] for d in properties("Downloads")["Dimensions"] if d["Name"] == "FilterId"]
    assert counted == {"Fn::If": ["CountsDownloads", [{"Id": name}], of_none]}
    assert template["Parameters"]["DownloadedBytes"]["Default"] == 0


def test_the_apis_log_is_where_its_function_writes() -> None:
    log = properties("ApiLog")

    assert log["LogGroupName"] == {"Fn::Sub": "/aws/lambda/recorder-${Stage}"}
    assert log["RetentionInDays"] == {"Ref": "LogDays"}


def test_dead_letters_are_kept_for_14_days_and_encrypted() -> None:
    queue = properties("DeadLetters")

    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert queue["SqsManagedSseEnabled"] is True


def test_nobody_is_mailed_unless_an_address_is_given() -> None:
    assert resources["AlarmSubscription"]["Condition"] == "HasAlarmEmail"
    assert template["Parameters"]["AlarmEmail"]["Default"] == ""


def widgets() -> Any:
    """What the dashboard of prod shows."""
    text = in_prod(properties("Dashboard")["DashboardBody"])
    return json.loads(text)["widgets"]


def shown() -> set[tuple[str, ...]]:
    """Its metrics: namespace, name, and then each dimension's name and value."""
    found = []
    for widget in widgets()[1:]:
        before: list[str] = []
        for given in widget["properties"]["metrics"]:
            names = [each for each in given if isinstance(each, str)]
            if names == ["..."]:
                names = before
            # A dot stands for what is above it.
            before = [before[i] if name == "." else name for i, name in enumerate(names)]
            found.append(tuple(before))
    return {*found}


def test_the_dashboard_shows_every_alarm() -> None:
    arns = widgets()[0]["properties"]["alarms"]

    assert {arn.partition("recorder-prod-")[2] for arn in arns} == {*alarms()}


def test_the_dashboard_shows_what_there_is() -> None:
    api = ("ApiName", app.app_name, "Stage", "prod")
    functions = [name_in_lambda(function, "prod") for function in GRANTS]

    assert shown() == {
        *(("AWS/ApiGateway", name, *api) for name in ("Count", "4XXError", "5XXError", "Latency")),
        ("AWS/Lambda", "ConcurrentExecutions", "FunctionName", "recorder-prod"),
        *(("AWS/Lambda", "Errors", "FunctionName", name) for name in functions),
        *((NAMESPACE, name, "stage", "prod") for name in emitted()),
    }
