"""CQL2 text (OGC 21-065r2, annex B) as CQL2 JSON: the part of it that filters of tiles know.

An LALR grammar, so that a text takes time as its length does and no stack: of the parsers that are
for the whole of CQL2 one ended the process on nested brackets, or took minutes over fifty of them.
"""

from __future__ import annotations

import functools
import math
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args

from ckanext.hdxjobs.errors import BadFilter

GRAMMAR = r"""
?start: either
?either: both | either OR both -> any_of
?both: denial | both AND denial -> all_of
?denial: test | NOT denial -> none_of
?test: "(" either ")"
    | value OPERATOR value -> comparison
    | property BETWEEN value AND value -> between
    | property NOT BETWEEN value AND value -> not_between
    | property IN "(" value ("," value)* ")" -> member
    | property NOT IN "(" value ("," value)* ")" -> not_member
    | property LIKE value -> like
    | property NOT LIKE value -> not_like
    | property IS NULL -> is_null
    | property IS NOT NULL -> is_not_null
?value: property | STRING -> string | NUMBER -> number | TRUE -> true | FALSE -> false
    | DATE "(" STRING ")" -> date | TIMESTAMP "(" STRING ")" -> timestamp
property: NAME | QUOTED

OPERATOR: "<>" | "<=" | ">=" | "=" | "<" | ">"
AND.2: /and(?![\w.:])/i
OR.2: /or(?![\w.:])/i
NOT.2: /not(?![\w.:])/i
BETWEEN.2: /between(?![\w.:])/i
IN.2: /in(?![\w.:])/i
LIKE.2: /like(?![\w.:])/i
IS.2: /is(?![\w.:])/i
NULL.2: /null(?![\w.:])/i
TRUE.2: /true(?![\w.:])/i
FALSE.2: /false(?![\w.:])/i
DATE.2: /date(?=\s*\()/i
TIMESTAMP.2: /timestamp(?=\s*\()/i
NAME: /[^\W\d][\w.:]*/
QUOTED: /"(?:[^"]|"")+"/
STRING: /'(?:[^']|'')*'/
NUMBER: /[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?/i

%ignore /\s+/
"""

#: What a comparison becomes when its sides change places.
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}

Node = Any


def parse(text: str) -> dict[str, Any]:
    """CQL2 JSON of a filter.

    :raises BadFilter: it is no CQL2 text of the kind above; says where
    """
    try:
        # The transformer makes JSON of what would be a tree.
        parsed = cast(dict[str, Any], _parser().parse(text))
    except UnexpectedInput as error:
        where = error.get_context(text).rstrip("\n")
        raise BadFilter(f"filter cannot be read as CQL2 text:\n{where}") from error
    return parsed


@functools.cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", transformer=_ToJson())


def _op(name: str, *args: Node) -> Node:
    return {"op": name, "args": list(args)}


def _unquoted(token: Token) -> str:
    mark = token[0]
    return str(token[1:-1]).replace(mark * 2, mark)


def _joined(op: str, first: Node, second: Node) -> Node:
    """Three conditions in a row are three arguments, not a condition of two inside one of two."""
    if first.get("op") == op:
        first["args"].append(second)
        return first
    return _op(op, first, second)


@v_args(inline=True)
class _ToJson(Transformer[Token, Node]):
    """Called while the text is read, from the inside out."""

    def any_of(self, first: Node, _or: Token, second: Node) -> Node:
        return _joined("or", first, second)

    def all_of(self, first: Node, _and: Token, second: Node) -> Node:
        return _joined("and", first, second)

    def none_of(self, _not: Token, condition: Node) -> Node:
        return condition["args"][0] if condition["op"] == "not" else _op("not", condition)

    def comparison(self, left: Node, operator: Token, right: Node) -> Node:
        if not isinstance(left, dict) or "property" not in left:
            return _op(_MIRRORED[operator], right, left)
        return _op(str(operator), left, right)

    def between(self, what: Node, _between: Token, low: Node, _and: Token, high: Node) -> Node:
        return _op("between", what, low, high)

    def not_between(self, what: Node, _not: Token, *rest: Node) -> Node:
        return _op("not", self.between(what, *rest))

    def member(self, what: Node, _in: Token, *values: Node) -> Node:
        return _op("in", what, list(values))

    def not_member(self, what: Node, _not: Token, *rest: Node) -> Node:
        return _op("not", self.member(what, *rest))

    def like(self, what: Node, _like: Token, pattern: Node) -> Node:
        return _op("like", what, pattern)

    def not_like(self, what: Node, _not: Token, *rest: Node) -> Node:
        return _op("not", self.like(what, *rest))

    def is_null(self, what: Node, *_words: Token) -> Node:
        return _op("isNull", what)

    def is_not_null(self, what: Node, *_words: Token) -> Node:
        return _op("not", _op("isNull", what))

    def property(self, name: Token) -> Node:
        return {"property": _unquoted(name) if name.type == "QUOTED" else str(name)}

    def string(self, text: Token) -> Node:
        return _unquoted(text)

    def number(self, text: Token) -> Node:
        if text.lstrip("+-").isdecimal():
            return int(text)
        number = float(text)
        if not math.isfinite(number):
            raise BadFilter(f"filter: {text} is too large")
        return number

    def true(self, _true: Token) -> Node:
        return True

    def false(self, _false: Token) -> Node:
        return False

    def date(self, _date: Token, text: Token) -> Node:
        return {"date": _unquoted(text)}

    def timestamp(self, _timestamp: Token, text: Token) -> Node:
        return {"timestamp": _unquoted(text)}
