"""What a tile's URL may ask for becomes JSON for the map database, or a reason why not."""

from __future__ import annotations

import contextlib
import json

import pytest

from ckanext.hdxjobs.errors import BadFilter
from ckanext.hdxjobs.geopreview import cql


def options(fields: str | None = None, filter_: str | None = None, language: str | None = None) -> object:
    made = cql.options(fields=fields, filter_=filter_, language=language)
    return None if made is None else json.loads(made)


def having(op: str, *args: object) -> dict[str, object]:
    return {"op": op, "args": list(args)}


NAME, POP = {"property": "name"}, {"property": "pop"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pop > 1000", having(">", POP, 1000)),
        ("1000 <= pop", having(">=", POP, 1000)),
        ("pop = 12345678901234567890", having("=", POP, 12345678901234567890)),
        ("pop = -1.5e3", having("=", POP, -1500.0)),
        ("x = TRUE", having("=", {"property": "x"}, True)),
        (
            "android = 1 or orders = 2",
            having("or", *(having("=", {"property": n}, v) for n, v in (("android", 1), ("orders", 2)))),
        ),
        ("date = 'x'", having("=", {"property": "date"}, "x")),
        (
            "(pop = 1) and (pop = 2 and pop = 3)",
            having("and", having("=", POP, 1), having("and", having("=", POP, 2), having("=", POP, 3))),
        ),
        ("pop = 1 and pop = 2 and pop = 3", having("and", *(having("=", POP, n) for n in (1, 2, 3)))),
        ("name NOT LIKE 'K%'", having("not", having("like", NAME, "K%"))),
        ("pop NOT IN (1)", having("not", having("in", POP, [1]))),
        ("pop NOT BETWEEN 1 AND 2", having("not", having("between", POP, 1, 2))),
        (
            "at > TIMESTAMP('2024-01-03T00:00:00Z')",
            having(">", {"property": "at"}, {"timestamp": "2024-01-03T00:00:00Z"}),
        ),
        ("name = 'O''Brien'", having("=", NAME, "O'Brien")),
        ('"long name" <> 3', having("<>", {"property": "long name"}, 3)),
        ("name LIKE 'K%'", having("like", NAME, "K%")),
        ("pop BETWEEN 1 AND 2.5", having("between", POP, 1, 2.5)),
        ("name IN ('a', 'b')", having("in", NAME, ["a", "b"])),
        ("pop IS NOT NULL", having("not", having("isNull", POP))),
        ("day < DATE('2024-01-03')", having("<", {"property": "day"}, {"date": "2024-01-03"})),
        (
            "pop = 1 OR pop = 2 AND NOT name = 'é'",
            having(
                "or",
                having("=", POP, 1),
                having("and", having("=", POP, 2), having("not", having("=", NAME, "é"))),
            ),
        ),
    ],
)
def test_cql2_text_becomes_cql2_json(text: str, expected: object) -> None:
    assert options(filter_=text) == {"filter": expected}


def test_cql2_json_stays_as_it_is() -> None:
    asked = having("=", POP, 2**60)
    assert options(filter_=json.dumps(asked), language="cql2-json") == {"filter": asked}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [("name", ["name"]), ("name,pop", ["name", "pop"]), ("", []), ('["a,b", "c"]', ["a,b", "c"])],
)
def test_fields_are_names(fields: str, expected: object) -> None:
    assert options(fields=fields) == {"fields": expected}


def test_who_asks_for_nothing_gets_all() -> None:
    assert options() is None
    assert options(filter_="") is None


def test_the_same_question_is_the_same_text() -> None:
    first = cql.options(fields="a", filter_='{"op": "isNull", "args": []}', language="cql2-json")
    second = cql.options(fields="a", filter_='{"args":[],"op":"isNull"}', language="cql2-json")
    assert first == second


@pytest.mark.parametrize(
    ("filter_", "language", "said"),
    [
        ("pop >", None, "cannot be read as CQL2 text"),
        ("pop > 1; DROP TABLE x", None, "cannot be read as CQL2 text"),
        ("pop > 1", "cql-text", "filter-lang must be"),
        ("{", "cql2-json", "filter is no JSON"),
        ('{"op": "=", "args": [NaN]}', "cql2-json", "NaN is no number"),
        ("pop = 1e999", None, "too large"),
        ("pop = 1 AND", None, "\\^"),
        ("a" * 20_000, None, "at most 10000 characters"),
    ],
)
def test_what_cannot_be_read_says_why(filter_: str, language: str | None, said: str) -> None:
    with pytest.raises(BadFilter, match=said):
        options(filter_=filter_, language=language)


@pytest.mark.parametrize("fields", ["[", "[1]", '{"a": 1}['])
def test_fields_that_are_no_names_say_so(fields: str) -> None:
    if fields.startswith("["):
        with pytest.raises(BadFilter, match="fields"):
            options(fields=fields)
    else:
        assert options(fields=fields) == {"fields": [fields]}


@pytest.mark.parametrize("chain", ["(", "-((", "NOT ", "NOT (", "a=", "1+", "a=1 AND ", "a=1 OR NOT ", "f("])
def test_a_text_without_sense_or_end_is_read_at_once_and_harms_nobody(chain: str) -> None:
    opened = chain * (9_000 // len(chain))
    with contextlib.suppress(BadFilter):
        options(filter_=opened + "a=1" + ")" * opened.count("("))


def test_json_nested_without_end_is_refused() -> None:
    with pytest.raises(BadFilter, match="filter is no JSON"):
        options(filter_="[" * 10_000, language="cql2-json")
