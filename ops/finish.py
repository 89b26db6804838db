"""Sets what Chalice cannot: the last part of each `chalice deploy`, which calls it.

API Gateway's own refusals get the app's form and CORS headers; Chalice has just replaced the API,
and them with it. The stage's limits are set. What a job could not do goes to the dead-letter queue.
And the first time, the stage's RECORDER_PUBLIC_URL, which links in mails begin with, becomes the
address that the API got, unless another one is set.
"""

from __future__ import annotations

import time

import boto3
from botocore.config import Config

from ops.gateway import answers
from ops.policies import JOBS, name_in_lambda
from ops.stacks import Stack
from ops.stages import Stage

PUBLIC_URL = "RECORDER_PUBLIC_URL"
# API Gateway takes a deployment every five seconds, and `chalice deploy` has just made one.
PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 10})
TRIES = 6
SECONDS_BETWEEN = 5.0


def finish(stage: Stage) -> None:
    """Set it all, of a stage that Chalice has deployed."""
    api = stage.deployed("rest_api")
    session = boto3.session.Session()
    _answer_refusals(session, stage, api["rest_api_id"])
    _throttle(session, stage, api["rest_api_id"])
    for function, at_once in stage.limits.at_once.items():
        _reserve(session, name_in_lambda(function, stage.name), at_once)
    dead_letters = Stack(session.client("cloudformation"), stage.stack).outputs()["DeadLettersArn"]
    for job in JOBS:
        _keep_failures(session, name_in_lambda(job, stage.name), dead_letters)
    _forget_deployments(session, api["rest_api_id"])
    if not stage.environment().get(PUBLIC_URL):
        _name_address(session, stage, address(api))
    print(f"{stage.stack}: {api['rest_api_url']}")


def address(api: dict[str, str]) -> str:
    """What begins each link to an API, as Chalice noted it."""
    return api["rest_api_url"].rstrip("/")


def _answer_refusals(session: boto3.session.Session, stage: Stage, api_id: str) -> None:
    gateway = session.client("apigateway", config=PATIENT)
    for kind, answer in answers(stage.environment()["RECORDER_CORS_ORIGIN"]).items():
        gateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(answer.status),
            responseParameters={
                f"gatewayresponse.header.{name}": value for name, value in answer.headers.items()
            },
            responseTemplates=answer.templates,
        )
    # Traced, as xray in config.json had it from Chalice.
    gateway.create_deployment(restApiId=api_id, stageName=stage.name, tracingEnabled=True)


def _forget_deployments(session: boto3.session.Session, api_id: str) -> None:
    """Remove what was deployed before: API Gateway keeps each, two for every `make deploy`."""
    gateway = session.client("apigateway", config=PATIENT)
    stages = gateway.get_stages(restApiId=api_id)["item"]
    in_use = {each["deploymentId"] for each in stages}
    pages = gateway.get_paginator("get_deployments").paginate(restApiId=api_id)
    there = [each["id"] for page in pages for each in page["items"]]
    for deployment in (each for each in there if each not in in_use):
        gateway.delete_deployment(restApiId=api_id, deploymentId=deployment)


def _throttle(session: boto3.session.Session, stage: Stage, api_id: str) -> None:
    limits = stage.limits
    settings = {"rateLimit": limits.requests_per_second, "burstLimit": limits.requests_at_once}
    session.client("apigateway", config=PATIENT).update_stage(
        restApiId=api_id,
        stageName=stage.name,
        patchOperations=[
            {"op": "replace", "path": f"/*/*/throttling/{name}", "value": str(number)}
            for name, number in settings.items()
        ],
    )


def _reserve(session: boto3.session.Session, function: str, at_once: int) -> None:
    """Reserve concurrency, where the account has so much that AWS allows it; say so if not.

    Chalice has just taken away what was reserved.
    """
    client = session.client("lambda")
    if not at_once:
        return
    try:
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=at_once)
    except client.exceptions.InvalidParameterValueException as error:
        # AWS insists on 100 that nobody has reserved, and a new account has 10 in all.
        why = error.response["Error"]["Message"]
        print(f"{function}: {at_once} at once are not reserved, it takes from all there are: {why}")


def _keep_failures(session: boto3.session.Session, function: str, queue: str) -> None:
    client = session.client("lambda")
    for left in reversed(range(TRIES)):
        try:
            client.put_function_event_invoke_config(
                FunctionName=function, DestinationConfig={"OnFailure": {"Destination": queue}}
            )
        except client.exceptions.InvalidParameterValueException:
            # Lambda asks whether the role may write to the queue. IAM takes some seconds to know.
            if not left:
                raise
            time.sleep(SECONDS_BETWEEN)
        else:
            return


def _name_address(session: boto3.session.Session, stage: Stage, public_url: str) -> None:
    """Note the API's address, and tell the functions at once, as the next deployment would."""
    stage.set_environment(stage.environment() | {PUBLIC_URL: public_url})
    client = session.client("lambda")
    for function in stage.functions:
        name = name_in_lambda(function, stage.name)
        told = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        variables = told | {PUBLIC_URL: public_url}
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables}
        )
