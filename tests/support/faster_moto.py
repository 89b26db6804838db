"""What moto and botocore do over and over, done once or not at all: their answers are the same."""

from __future__ import annotations

import functools
from collections import deque
from typing import Any, cast

# An attribute's value of these types is its own JSON; so is a list or a map of such values.
PLAIN = {"S", "N", "BOOL", "NULL"}
# So many attributes of so many bytes are no item that is too large.
FEW, SMALL = 50, 4_000


@functools.cache
def hurry() -> None:
    """Speed them up in this process; not before the environment is safe to import moto in."""
    _take_and_answer_values_as_they_are()
    _parse_an_update_once()
    _split_a_condition_once()
    _measure_what_may_be_too_large()
    _keep_what_stays_the_same()


def _take_and_answer_values_as_they_are() -> None:
    """Moto looks for each of the types that a value might be of, under many names each."""
    from moto.core.parse import JSONParser
    from moto.core.serialize import BaseJSONSerializer

    original = BaseJSONSerializer._serialize_type_structure
    parse: Any = JSONParser._parse_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and _is_json(value):
            serialized[self.get_serialized_name(shape, key)] = value
        else:
            original(self, serialized, value, shape, key)

    def parsed(self: Any, shape: Any, node: Any) -> Any:
        return (
            node if shape.name == "AttributeValue" and _is_json(node) else parse(self, shape, node)
        )

    patched: Any = BaseJSONSerializer
    patched._serialize_type_structure = serialize
    parser: Any = JSONParser
    parser._parse_structure = parsed


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


def _parse_an_update_once() -> None:
    """The app has some dozens of them; moto parses each twice per call, and changes a copy."""
    from moto.dynamodb.parsing import ast_nodes, expressions, validators

    # These modules have no types.
    nodes, parsers = cast("Any", (ast_nodes, expressions))
    parser, traverser = parsers.UpdateExpressionParser, nodes.DepthFirstTraverser
    parser.make = functools.cache(parser.make)
    nodes.Node.__deepcopy__ = _copied

    known: dict[tuple[type, type], bool] = {}

    def is_processed(self: Any, node: Any) -> bool:
        pair = type(self), type(node)
        if pair not in known:
            known[pair] = isinstance(node, self.nodes_to_be_processed())
        return known[pair]

    def traverse(self: Any, node: Any, child_id: int = -1) -> Any:
        if not hasattr(node, "parent"):
            return node
        parent = node.parent
        for place, child in enumerate(node.children or ()):
            self.pre_processing_of_child(node, place)
            traverse(self, child, place)
        if is_processed(self, node):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    traverser.traverse_node_recursively = traverse

    counter: Any = validators.ActionCountValidator
    count = counter.verify_action_counts
    # What a part has too many of, the whole has too.
    counter.verify_action_counts = lambda self, node: node if node.parent else count(self, node)


def _split_a_condition_once() -> None:
    from moto.dynamodb.comparisons import ConditionExpressionParser

    parser: Any = ConditionExpressionParser
    split = parser._lex_condition_expression
    known: dict[str, list[Any]] = {}

    def words(self: Any) -> deque[Any]:
        text = self.condition_expression
        return deque(known.get(text) or known.setdefault(text, list(split(self))))

    parser._lex_condition_expression = words


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


def _measure_what_may_be_too_large() -> None:
    """Moto measures all of an item with each attribute that it is given."""
    from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict

    measured = LimitedSizeDict.__setitem__

    def put(self: Any, key: str, value: Any) -> None:
        small = len(self) < FEW and type(value) is DynamoType and value.size() < SMALL
        (dict.__setitem__ if small else measured)(self, key, value)

    limited: Any = LimitedSizeDict
    limited.__setitem__ = put


def _keep_what_stays_the_same() -> None:
    """The methods of a class, and the words of a user agent."""
    from botocore import useragent
    from moto.core import responses

    for module, name in (
        (responses, "method_names_from_class"),
        (useragent, "sanitize_user_agent_string_component"),
    ):
        setattr(module, name, functools.cache(getattr(module, name)))
