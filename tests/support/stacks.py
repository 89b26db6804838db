"""A place in moto where stages can be provisioned: another region than the backend's own."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

REGION = "eu-west-1"
USED = "apigateway awslambda cloudformation cloudwatch dynamodb events logs secretsmanager sns sqs"
# It is one place for all regions.
GLOBAL: Any = "iam"


@contextmanager
def place() -> Iterator[dict[str, str]]:
    """An environment that leads there; all that was made there is gone at the end."""
    # Not before backend.start() has made the environment safe to import it in.
    from moto import backends
    from moto.core.models import DEFAULT_ACCOUNT_ID

    _make_secrets()
    try:
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            # What else it does not make it says so of.
            warnings.filterwarnings("ignore", "Tried to parse AWS::", UserWarning)
            _mend_stacks(patch)
            _read_swagger(patch)
            yield {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    finally:
        for service in USED.split():
            name: Any = service
            backends.get_backend(name)[DEFAULT_ACCOUNT_ID][REGION].reset()
        backends.get_backend(GLOBAL)[DEFAULT_ACCOUNT_ID]["aws"].reset()
        s3 = backends.get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]
        for bucket in [each for each in s3.buckets if each.endswith(REGION)]:
            s3.delete_bucket(bucket)


def _mend_stacks(patch: pytest.MonkeyPatch) -> None:
    """Have stacks be as on AWS.

    One that a change set made has outputs; parameters have defaults; and what is retained is.
    """
    from moto.cloudformation.models import ChangeSet, Stack
    from moto.cloudformation.parsing import ResourceMap

    apply = ChangeSet.apply

    def apply_with_outputs(self: ChangeSet) -> None:
        apply(self)
        self.stack.template_dict = self.template_dict
        self.stack.output_map = self.stack._create_output_map()

    def has_parameters(self: Stack, parameters: dict[str, str]) -> bool:
        return {name: str(value) for name, value in self.stack_parameters.items()} == parameters

    delete = ResourceMap.delete

    def delete_what_is_not_retained(self: ResourceMap) -> None:
        for resource in self._resource_json_map.values():
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                resource["DeletionPolicy"] = "Retain"
        delete(self)

    patch.setattr(ResourceMap, "delete", delete_what_is_not_retained)
    _heed_conditions(patch)
    patch.setattr(ChangeSet, "apply", apply_with_outputs)
    patch.setattr(Stack, "has_parameters", has_parameters)


def _heed_conditions(patch: pytest.MonkeyPatch) -> None:
    """Have an update make and remove what has a condition, as that says."""
    from moto.cloudformation import parsing

    update = parsing.parse_and_update_resource

    def update_as_conditions_say(id: str, json: Any, resources: Any, **where: str) -> Any:
        there = resources._parsed_resources.get(id)
        wanted = "Condition" not in json or resources.lazy_condition_map[json["Condition"]]
        if wanted and (there is not None or "Condition" not in json):
            return update(id, json, resources, **where)
        if there is not None:
            resources._delete_resource(there, json)
        resources._parsed_resources.pop(id, None)
        return resources[id] if wanted else None

    patch.setattr(parsing, "parse_and_update_resource", update_as_conditions_say)


def _read_swagger(patch: pytest.MonkeyPatch) -> None:
    """Have API Gateway read the Swagger 2.0 that Chalice sends, as OpenAPI 3, which moto reads."""
    from moto.apigateway.models import APIGatewayBackend, RestAPI

    put = APIGatewayBackend.put_rest_api

    def put_swagger(
        self: APIGatewayBackend, function_id: str, api_doc: Any, *, mode: str = "merge", **_: Any
    ) -> RestAPI:
        document = {key: value for key, value in api_doc.items() if key != "swagger"}
        for methods in document["paths"].values():
            # A preflight is answered by nobody, which moto wants an address of.
            for name, nobodys in {"uri": "", "httpMethod": "POST"}.items():
                methods["options"]["x-amazon-apigateway-integration"][name] = nobodys
        api = put(self, function_id, document, fail_on_warnings=False, mode=mode)
        api.binaryMediaTypes = document["x-amazon-apigateway-binary-media-types"]
        # Whatever the document does not say is as it is by default.
        api.gateway_responses.clear()
        return api

    def import_swagger(self: APIGatewayBackend, api_doc: Any, *_: Any) -> RestAPI:
        api = self.create_rest_api(name=api_doc["info"]["title"], description="")
        return put_swagger(self, api.id, api_doc)

    def delete_what_no_stage_has(self: RestAPI, deployment_id: str) -> Any:
        # moto takes what a stage had before for what it has.
        assert deployment_id not in [stage.deployment_id for stage in self.stages.values()]
        return self.deployments.pop(deployment_id)

    patch.setattr(RestAPI, "delete_deployment", delete_what_no_stage_has)
    patch.setattr(APIGatewayBackend, "import_rest_api", import_swagger)
    patch.setattr(APIGatewayBackend, "put_rest_api", put_swagger)


@functools.cache
def _make_secrets() -> None:
    """Have moto's CloudFormation make secrets, which it does not by itself."""
    from moto.cloudformation import parsing
    from moto.core.common_models import CloudFormationModel
    from moto.secretsmanager.models import secretsmanager_backends

    class Secret(CloudFormationModel):
        """A secret of a stack."""

        physical_resource_id: str

        @staticmethod
        def cloudformation_name_type() -> str:
            return "Name"

        @staticmethod
        def cloudformation_type() -> str:
            return "AWS::SecretsManager::Secret"

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr == "Id"

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: Any,
            account_id: str,
            region_name: str,
            **_kwargs: Any,
        ) -> Secret:
            asked = cloudformation_json["Properties"]
            store = secretsmanager_backends[account_id][region_name]
            made = asked.get("GenerateSecretString", {}).get("SecretStringTemplate")
            value = made or asked["SecretString"]
            secret = cls()
            store._add_secret(resource_name, secret_string=value)
            secret.physical_resource_id = store.secrets[resource_name].arn
            return secret

        @classmethod
        def delete_from_cloudformation_json(cls, *_: Any, **__: Any) -> None:
            """Keep it, as its DeletionPolicy says."""

    for known in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        known.cache_clear()
