"""Chalice's own record of a stage, .chalice/deployed/<stage>.json, against what there is on AWS.

Chalice writes it at the end of a deployment or a deletion that went well, and believes it: what is
not in it is not deleted, and an API that is not in it is made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ops.policies import APP, name_in_lambda
from ops.stacks import Stack
from ops.stages import Refused, Stage

if TYPE_CHECKING:
    import boto3

# How each kind of resource is looked up: the service and its call, and by which of the record's.
LOOK_UPS = {
    "cloudwatch_event": ("events", "describe_rule", "Name", "rule_name"),
    "domain_name": ("apigateway", "get_domain_name", "domainName", "domain_name"),
    "iam_role": ("iam", "get_role", "RoleName", "role_name"),
    "lambda_function": ("lambda", "get_function", "FunctionName", "lambda_arn"),
    "log_group": ("logs", "describe_log_streams", "logGroupName", "log_group_name"),
    "rest_api": ("apigateway", "get_rest_api", "restApiId", "rest_api_id"),
}
GONE = {"NoSuchEntity", "NotFoundException", "ResourceNotFoundException"}


def check_deployable(session: boto3.session.Session, stage: Stage) -> None:
    """Refused if a pipeline deployed the stage, or if the record lacks the stage's API."""
    check_way(Stack(session.client("cloudformation"), stage.stack), stage)
    check_api(session, stage)


def check_way(stack: Stack, stage: Stage) -> None:
    """Refused if a pipeline deployed the stage: then its stack has the functions, too."""
    if stack.has("AWS::Lambda::Function"):
        raise Refused(
            f"{stage.name} was deployed by a pipeline, whose stack has its functions and its API: "
            "go on with make package, or take that away first; docs/operations.md says how"
        )


def drop_what_is_gone(session: boto3.session.Session, stage: Stage) -> None:
    """Leave in the record what AWS still has: Chalice's deletion ends at what it has not."""
    stage.record = [each for each in stage.record if _is_there(session, each)]


def check_functions(session: boto3.session.Session, stage: Stage) -> None:
    """Refused if there is a function that the record does not have: Chalice would leave it."""
    for function in stage.functions:
        name = name_in_lambda(function, stage.name)
        unrecorded = {"resource_type": "lambda_function", "lambda_arn": name}
        if not stage.deployed(function) and _is_there(session, unrecorded):
            raise Refused(
                f"{name} is in Lambda, and {stage.record_file} does not have it: bring that file "
                "from where the stage was deployed, or let make deploy come to its end first"
            )


def check_api(session: boto3.session.Session, stage: Stage) -> None:
    """Refused if the stage has an API that the record does not have: Chalice would make another."""
    if stage.deployed("rest_api"):
        return
    gateway = session.client("apigateway")
    for page in gateway.get_paginator("get_rest_apis").paginate():
        # Chalice calls every stage's API by the app's name.
        for api in (each["id"] for each in page["items"] if each["name"] == APP):
            there = gateway.get_stages(restApiId=api)["item"]
            if stage.name in [each["stageName"] for each in there]:
                raise Refused(
                    f"{stage.name} has an API, and {stage.record_file} does not have it: bring "
                    "that file from where the stage was deployed; or, for another address: "
                    f"aws apigateway delete-rest-api --rest-api-id {api}"
                )


def drop_half_made(session: boto3.session.Session, stage: Stage) -> None:
    """Delete what a deployment that was cut off has left of an API: it is in no record.

    It has no stage in API Gateway yet, so nobody ever reached it. Without this the next deployment
    would make another beside it.
    """
    gateway = session.client("apigateway")
    function = f":function:{name_in_lambda('api_handler', stage.name)}/"
    for page in gateway.get_paginator("get_rest_apis").paginate():
        for api in (each["id"] for each in page["items"] if each["name"] == APP):
            recorded = stage.deployed("rest_api").get("rest_api_id") == api
            if recorded or gateway.get_stages(restApiId=api)["item"]:
                continue
            if _leads_to(gateway, api, function):
                print(f"  deleting  {api}, an API that a deployment which was cut off has left")
                gateway.delete_rest_api(restApiId=api)


def _leads_to(gateway: Any, api: str, function: str) -> bool:
    """Whether one of an API's methods is a function's."""
    resources = gateway.get_resources(restApiId=api, limit=500, embed=["methods"])["items"]
    return any(
        function in method.get("methodIntegration", {}).get("uri", "")
        for resource in resources
        for method in resource.get("resourceMethods", {}).values()
    )


def _is_there(session: boto3.session.Session, resource: dict[str, str]) -> bool:
    """Whether AWS has it; of a kind that is not looked up, the record is believed."""
    if resource["resource_type"] not in LOOK_UPS:
        return True
    service, call, parameter, noted = LOOK_UPS[resource["resource_type"]]
    client: Any = session.client(service)  # type: ignore[call-overload]
    try:
        getattr(client, call)(**{parameter: resource[noted]})
    except ClientError as error:
        if error.response["Error"]["Code"] not in GONE:
            raise
        return False
    return True
