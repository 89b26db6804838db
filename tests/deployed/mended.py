"""What is mended of ministack, where it does otherwise than AWS does with what is deployed here.

Each function takes the place of ministack's own of that name, which it calls, while the launcher
starts. What S3 does otherwise is mended by local/embedded/mended.py, for `make run` and here.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from email.utils import parseaddr
from http import HTTPStatus
from typing import Any, TypeAlias

# First, because what mends S3 for `make run` takes ministack's server for what is not there.
import ministack.app  # noqa: F401
from ministack.core import iam_actions, lambda_runtime
from ministack.services import apigateway_v1 as gateway
from ministack.services import budgets, eventbridge, iam, lambda_svc, secretsmanager
from ministack.services import s3 as engine
from ministack.services.cloudformation import provisioners

from local.embedded.mended import MENDED

Answer: TypeAlias = tuple[int, dict[str, str], bytes]
Json: TypeAlias = dict[str, Any]

# The Python that runs the functions: what they are packaged for, with boto3 and nothing else.
PYTHON = os.environ["FUNCTIONS_PYTHON"]
# Nobody waits for a quarter of an hour.
SCHEDULES_FASTER = 60
# A run that is still going on would have another process begun for the next.
AT_LEAST_SECONDS = 3
TOO_MANY = "ReservedFunctionConcurrentInvocationLimitExceeded"
# As long as a run may go on whose function was updated meanwhile.
REPLACED_SECONDS = 60
BINARY_TYPES = "x-amazon-apigateway-binary-media-types"
REFUSALS = "x-amazon-apigateway-gateway-responses"
INTEGRATION = "x-amazon-apigateway-integration"


def mend() -> None:
    """Put it all in its place."""
    _alarms()
    _budgets()
    _secrets()
    _access_keys()
    _apis()
    _rights()
    _functions()
    _updates()
    _events()
    for name, ours in MENDED.items():
        setattr(engine, name, ours)


def _functions() -> None:
    """Functions are run by the Python that they are packaged for, and wait for their turn."""
    original = lambda_runtime._detect_runtime_binary

    def detect(runtime: str) -> tuple[str, str]:
        binary, script = original(runtime)
        return (PYTHON if runtime.startswith("python") else binary), script

    execute = lambda_svc._execute_function

    def execute_in_turn(*arguments: Any, **named: Any) -> Json:
        while True:
            result: Json = execute(*arguments, **named)
            if not result.get("error") or TOO_MANY not in str(result.get("body")):
                return result
            time.sleep(0.2)

    lambda_runtime._detect_runtime_binary = detect
    lambda_svc._execute_function = execute_in_turn
    write = lambda_svc._emit_lambda_logs

    def write_if_there(function: Json, *arguments: Any, **named: Any) -> None:
        # No role of ours may make a log, so what still runs of a function that went has none.
        if (function.get("config") or function)["FunctionName"] in lambda_svc._functions:
            write(function, *arguments, **named)

    lambda_svc._emit_lambda_logs = write_if_there


def _updates() -> None:
    """What runs when its function is updated goes on to its end."""
    kill = lambda_runtime.kill_workers

    def kill_once_idle(workers: Iterable[Any]) -> None:
        doomed = [each for each in workers if each is not None]

        def wait() -> None:
            until = time.monotonic() + REPLACED_SECONDS
            while any(each.in_use for each in doomed) and time.monotonic() < until:
                time.sleep(0.1)
            kill(doomed)

        threading.Thread(target=wait, daemon=True).start()

    lambda_runtime.kill_workers = kill_once_idle


def _events() -> None:
    """An event that its function fails at is tried again; and here schedules are faster."""
    seconds_of = eventbridge._parse_rate_seconds

    def seconds(rate: str) -> float | None:
        found: int | None = seconds_of(rate)
        return max(found / SCHEDULES_FASTER, AT_LEAST_SECONDS) if found else None

    def dispatch(arn: str, payload: str) -> None:
        function, config, _ = lambda_svc._get_func_record_for_ref(arn)
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    eventbridge._parse_rate_seconds, eventbridge._dispatch_to_lambda = seconds, dispatch
    eventbridge._SCHEDULER_TICK_INTERVAL = 0.5


def _alarms() -> None:
    """An alarm may be on what is computed of metrics: it is kept as one on the first of them."""
    original = provisioners._cw_metric_alarm_record

    def record(name: str, props: Json) -> Json:
        if "Metrics" in props:
            first = next(each["MetricStat"] for each in props["Metrics"] if "MetricStat" in each)
            one = {"Statistic": first["Stat"], "Period": first["Period"], **first["Metric"]}
            props = {key: value for key, value in props.items() if key != "Metrics"} | one
        kept: Json = original(name, props)
        return kept

    provisioners._cw_metric_alarm_record = record


def _budgets() -> None:
    """A stack may have a budget, as ministack keeps them."""

    def create(_logical_id: str, props: Json, _stack_name: str) -> tuple[str, Json]:
        status, _, body = budgets._create_budget(props)
        if status >= HTTPStatus.BAD_REQUEST:
            raise ValueError(f"AWS::Budgets::Budget: {body.decode()}")
        return props["Budget"]["BudgetName"], {}

    def delete(name: str, _props: Json) -> None:
        budgets._delete_budget({"BudgetName": name})

    provisioners._RESOURCE_HANDLERS["AWS::Budgets::Budget"] = {"create": create, "delete": delete}


def _secrets() -> None:
    """The Ref of a secret is its ARN, and it stays; without punctuation it has none."""
    kind = "AWS::SecretsManager::Secret"
    provisioners._REPLACING_PROPERTIES[kind] = ("Name",)
    handlers = provisioners._RESOURCE_HANDLERS[kind]
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def name_of(arn: str) -> str:
        found: str = next(
            (name for name, each in secretsmanager._secrets.items() if each["ARN"] == arn), arn
        )
        return found

    def create_known_by_arn(logical_id: str, props: Json, stack_name: str) -> tuple[str, Json]:
        generated = dict(props.get("GenerateSecretString", {}))
        if generated.get("ExcludePunctuation"):
            generated["ExcludeCharacters"] = r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""
            props = {**props, "GenerateSecretString": generated}
        _, attributes = create(logical_id, props, stack_name)
        return attributes["Arn"], attributes

    def update_by_arn(
        arn: str, old: Json, new: Json, stack_name: str, logical_id: str | None = None
    ) -> tuple[str, Json]:
        _, attributes = update(name_of(arn), old, new, stack_name, logical_id)
        return attributes["Arn"], attributes

    def delete_by_arn(arn: str, props: Json) -> None:
        delete(name_of(arn), props)

    handlers |= {"create": create_known_by_arn, "update": update_by_arn, "delete": delete_by_arn}


def _access_keys() -> None:
    """A stack may have the key of a user, of which another number makes another one."""

    def create(_logical_id: str, props: Json, _stack_name: str) -> tuple[str, Json]:
        before = {*iam._access_keys}
        iam._create_access_key({"UserName": props["UserName"]})
        [key] = {*iam._access_keys} - before
        return key, {"SecretAccessKey": iam._access_keys[key]["SecretAccessKey"]}

    def delete(key: str, _props: Json) -> None:
        iam._delete_access_key({"AccessKeyId": key})

    kind = "AWS::IAM::AccessKey"
    provisioners._RESOURCE_HANDLERS[kind] = {"create": create, "delete": delete}
    provisioners._REPLACING_PROPERTIES[kind] = ("Serial", "UserName")


def _apis() -> None:
    """An API is imported whole, over HTTP too, has no empty settings, and tells its domain."""
    read, route, view = gateway._import_rest_api, gateway.handle_request, gateway._rest_api_view

    def import_whole(document: Json, base: Json | None = None) -> str:
        api_id: str = read(document, base)
        _keep_the_rest(api_id, document)
        return api_id

    async def route_imports(
        method: str, path: str, headers: Json, body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        parts = path.strip("/").split("/")
        if method == "POST" and parts == ["restapis"] and "mode" in query:
            answer: Answer = gateway._get_rest_api(import_whole(json.loads(body)))
        elif method == "PUT" and len(parts) == 2 and parts[0] == "restapis":
            _overwrite(parts[1], import_whole(json.loads(body)))
            answer = gateway._get_rest_api(parts[1])
        else:
            answer = await route(method, path, headers, body, query)
        return answer

    def view_without_nothing(api: Json | None) -> Json | None:
        seen = view(api)
        return seen and {key: value for key, value in seen.items() if value not in (None, "")}

    event = gateway._build_lambda_event_v1

    def event_with_domain(api_id: str, *arguments: Any, **named: Any) -> Json:
        built: Json = event(api_id, *arguments, **named)
        domain = f"{api_id}.execute-api.{gateway.get_region()}.amazonaws.com"
        built["requestContext"]["domainName"] = domain
        return built

    gateway._build_lambda_event_v1 = event_with_domain
    gateway._import_rest_api = import_whole
    gateway.handle_request = route_imports
    gateway._rest_api_view = view_without_nothing


def _keep_the_rest(api_id: str, document: Json) -> None:
    """Keep what API Gateway reads of a document by its own names, and ministack does not."""
    gateway._rest_apis[api_id]["binaryMediaTypes"] = document.get(BINARY_TYPES, [])
    for kind, refusal in document.get(REFUSALS, {}).items():
        gateway._put_gateway_response(api_id, kind, refusal)
    for path, methods in document["paths"].items():
        _keep_mocks(api_id, path, methods)


def _overwrite(api_id: str, made: str) -> None:
    """Have an API be what another one was made: whatever that does not say is as by default."""
    for store in (gateway._resources, gateway._gateway_responses, gateway._authorizers_v1):
        store[api_id] = store[made]
    for name in ("name", "version", "binaryMediaTypes", "policy"):
        gateway._rest_apis[api_id][name] = gateway._rest_apis[made][name]
    gateway._delete_rest_api(made)


def _keep_mocks(api_id: str, path: str, methods: Json) -> None:
    """Keep what a method answers that no function is asked for, such as a preflight."""
    resource = next(each for each in gateway._resources[api_id].values() if each["path"] == path)
    for method, operation in methods.items():
        integration = operation.get(INTEGRATION, {}) if isinstance(operation, dict) else {}
        kept = resource["resourceMethods"].get(method.upper(), {})
        if integration.get("type", "").lower() != "mock":
            continue
        for status, answer in operation.get("responses", {}).items():
            names = [f"method.response.header.{name}" for name in answer.get("headers", {})]
            kept["methodResponses"][status] = {
                "statusCode": status,
                "responseParameters": dict.fromkeys(names, False),
                "responseModels": {},
            }
        mock = kept["methodIntegration"]
        mock["requestTemplates"] = integration.get("requestTemplates", {})
        for pattern, answer in integration.get("responses", {}).items():
            mock["integrationResponses"][answer["statusCode"]] = {
                "selectionPattern": "" if pattern == "default" else pattern,
                "responseTemplates": {},
                "responseParameters": {},
                **answer,
            }


def _rights() -> None:
    """A mail takes the right to send as its sender, a version's deletion that of versions."""
    action_of, identity_of = iam_actions.extract_iam_action, iam_actions._ses_v2_resource_arn

    def action(
        service: str, method: str, path: str, headers: Json, body: bytes, query: Json
    ) -> str | None:
        if service == "s3" and method == "POST" and "delete" in query:
            # ministack looks at the other ones itself.
            (_, version), *_ = iam_actions._s3_batch_delete_targets(path.strip("/"), body)
            return "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
        found: str | None = action_of(service, method, path, headers, body, query)
        return found

    def identity(method: str, path: str, body: bytes, region: str, account: str) -> str:
        if path.rstrip("/") == "/v2/email/outbound-emails":
            _, address = parseaddr(json.loads(body)["FromEmailAddress"])
            return f"arn:aws:ses:{region}:{account}:identity/{address}"
        found: str = identity_of(method, path, body, region, account)
        return found

    iam_actions.extract_iam_action, iam_actions._ses_v2_resource_arn = action, identity
