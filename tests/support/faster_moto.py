"""What moto and botocore do over and over, done once or not at all: their answers are the same."""

from __future__ import annotations

import functools
from typing import Any, cast

# An attribute's value of these types is its own JSON; so is a list or a map of such values.
PLAIN = {"S", "N", "BOOL", "NULL"}


@functools.cache
def hurry() -> None:
    """Speed them up in this process; not before the environment is safe to import moto in."""
    _answer_with_values_as_they_are()
    _parse_an_expression_once()
    _keep_what_stays_the_same()


def _answer_with_values_as_they_are() -> None:
    """Moto looks for each of the types that a value might be of, under many names each."""
    from moto.core.serialize import BaseJSONSerializer

    original = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and _is_json(value):
            serialized[self.get_serialized_name(shape, key)] = value
        else:
            original(self, serialized, value, shape, key)

    patched: Any = BaseJSONSerializer
    patched._serialize_type_structure = serialize


def _is_json(value: Any) -> bool:
    """Whether this is an attribute's value as DynamoDB writes it."""
    if type(value) is not dict or len(value) != 1:
        return False
    [(kind, held)] = value.items()
    if kind == "M":
        return all(map(_is_json, held.values()))
    if kind == "L":
        return all(map(_is_json, held))
    return kind in PLAIN


def _parse_an_expression_once() -> None:
    """The app has some dozens of them; moto parses each twice per call, and changes a copy."""
    from moto.dynamodb.parsing import ast_nodes, expressions, validators

    # These modules have no types.
    nodes, parsers = cast("Any", (ast_nodes, expressions))
    parser, traverser = parsers.UpdateExpressionParser, nodes.DepthFirstTraverser
    parser.make = functools.cache(parser.make)
    nodes.Node.__deepcopy__ = _copied

    list_kinds = traverser.nodes_to_be_processed
    kinds: dict[type, Any] = {}
    traverser.nodes_to_be_processed = lambda self: (
        kinds.get(type(self)) or kinds.setdefault(type(self), list_kinds(self))
    )

    counter: Any = validators.ActionCountValidator
    count = counter.verify_action_counts
    # What a part has too many of, the whole has too.
    counter.verify_action_counts = lambda self, node: node if node.parent else count(self, node)


def _copied(node: Any, _memo: object = None) -> Any:
    """What copy.deepcopy makes of an expression, in a tenth of the time."""
    copy = object.__new__(type(node))
    vars(copy).update(vars(node))
    if node.children is not None:
        copy.children = [
            _copied(each) if hasattr(each, "parent") else each for each in node.children
        ]
        for each in copy.children:
            if hasattr(each, "parent"):
                each.parent = copy
    return copy


def _keep_what_stays_the_same() -> None:
    """The methods of a class, and the words of a user agent."""
    from botocore import useragent
    from moto.core import responses

    for module, name in (
        (responses, "method_names_from_class"),
        (useragent, "sanitize_user_agent_string_component"),
    ):
        setattr(module, name, functools.cache(getattr(module, name)))
