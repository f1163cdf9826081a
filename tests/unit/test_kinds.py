"""What the texts of a table's columns are taken for."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from ckanext.hdxjobs.geopreview.kinds import Kinds


def kind_of(*batches):
    kinds = Kinds(pa.schema([("text", pa.string())]))
    for texts in batches:
        kinds.look(pa.record_batch({"text": pa.array(texts, pa.string())}))
    return kinds.found().get(0)


def name_of(texts):
    kind = kind_of(texts)
    return kind.name if kind else "string"


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["1", "-2", "0"], "integer"), ([" 1", "2 "], "integer"), (["1", None, ""], "integer"), (["9" * 18], "integer"),
        (["1", "2.5"], "number"), (["-0.5", ".5", "5."], "number"), (["1.5e-7", "1e+20", "1.5E5"], "number"), (["1.5", "NaN"], "number"),
        (["1,5", "2"], "number"), (["0,125"], "number"), (["1,2345"], "number"),
        (["true", "False", "TRUE"], "boolean"), (["2026-01-31"], "date"), (["2026/01/31"], "date"),
        (["2026-01-31T10:00", "2026-01-31 10:00:01.5"], "datetime"), (["2026-01-31T10:00:00Z", "2026-01-31 10:00+03:00"], "datetime"),
        (["10:00", "23:59:59.5"], "time"),
    ],
)  # fmt: skip
def test_a_column_has_the_kind_that_each_value_says(texts, name):
    assert name_of(texts) == name


@pytest.mark.parametrize(
    "texts",
    [
        ["00123"], ["1", "007"], ["+254701234567"], ["12345678901234567890"], ["1" * 16 + ".5"], ["12E3"], ["1e5"], ["NO", "NO"],
        ["T", "F"], ["yes", "no"], ["1,234", "5,678"], ["1,234,567"], ["1.5", "1,5"], ["2026-02-30"], ["2026-01-31", "2026-01-31 10:00"],
        ["2026-01-31T10:00", "2026-01-31T10:00Z"], ["31/01/2026"], ["25:00"], ["0x1F"], ["1", "n/a"], ["-01"], ["inf"], [None, ""], [],
    ],
)  # fmt: skip
def test_a_doubt_leaves_the_text_as_it_is(texts):
    assert name_of(texts) == "string"


def test_a_late_value_that_does_not_fit_decides():
    assert kind_of(["1"], ["2"], ["A7"]) is None
    assert kind_of(["1"], [None], ["2.5"]).name == "number"


def test_a_proof_may_come_in_any_batch():
    assert kind_of(["1,5"], ["1,234"]).name == "number"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-7", -7), ("1.25", 1.25), ("1,25", 1.25), ("True", True), ("2026/01/31", dt.date(2026, 1, 31)), ("10:30", dt.time(10, 30)),
        ("2026-01-31 10:30", dt.datetime(2026, 1, 31, 10, 30)), ("2026-01-31T10:30+03:00", dt.datetime(2026, 1, 31, 7, 30, tzinfo=dt.timezone.utc)),
    ],
)  # fmt: skip
def test_values_are_converted(text, value):
    kind = kind_of([text])

    assert kind.convert(pa.array([f" {text}", "", None, "#tag"])).to_pylist() == [value, None, None, None]
    assert kind.convert(pa.array([text])).type == kind.arrow
