"""What ops/template.yaml says of the table and the buckets: the backend is made from it, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parents[2] / "ops" / "template.yaml"
ACCOUNT = "000000000000"


def resources(region: str) -> dict[str, dict[str, Any]]:
    """The properties of each resource by its name, as a stage has them that sets no parameter."""
    template = yaml.load(TEMPLATE.read_bytes(), _Loader)  # noqa: S506 - the loader is a safe one
    names = {name: str(each["Default"]) for name, each in template["Parameters"].items()}
    names |= {"AWS::AccountId": ACCOUNT, "AWS::Region": region}
    declared = template["Resources"].items()
    return {name: _resolved(each.get("Properties", {}), names) for name, each in declared}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML with CloudFormation's functions in it, each as {its name: its argument}."""


def _function(loader: Any, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def _resolved(value: Any, names: dict[str, str]) -> Any:
    """A value with the parameters it refers to filled in; what else it refers to stays."""
    match value:
        case {"Ref": str(name)}:
            return names.get(name, name)
        case {"Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: names.get(found[1], found[0]), text)
        case dict():
            return {name: _resolved(each, names) for name, each in value.items()}
        case list():
            return [_resolved(each, names) for each in value]
        case _:
            return value
