"""What the texts of a table's columns are: whole numbers, numbers, dates … only where every value says so.

GDAL guesses as well, but makes the country code NO a "false", drops the plus of a telephone number and
cuts a number of 20 digits to the largest that it knows.  Here a doubt leaves the text as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Kind:
    """A kind that a column of texts may have.

    :ivar name: as in ``values.Field.type``
    :ivar pattern: what each value looks like
    :ivar proof: what at least one value looks like
    :ivar cast: from texts that look like it
    :ivar may_fail: whether not all that look like it are of it: ``cast`` raises ``pa.ArrowInvalid`` for a 31st of February
    """

    name: str
    arrow: pa.DataType
    pattern: str
    cast: Callable[[pa.Array], pa.Array]
    proof: str = ""
    may_fail: bool = False

    def fits(self, texts: pa.Array) -> bool:
        """Whether each text, trimmed and not empty, is of this kind."""
        if not pc.all(pc.match_substring_regex(texts, self.pattern), min_count=0).as_py():
            return False
        try:
            if self.may_fail:
                self.cast(texts)
        except pa.ArrowInvalid:
            return False
        return True

    def convert(self, column: pa.Array) -> pa.Array:
        """The column's values; null where there is none, as under a tag of HXL."""
        texts = trimmed(column)
        fits = pc.match_substring_regex(texts, self.pattern)
        return self.cast(pc.if_else(fits, texts, None))


_MOMENT = r"^\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"


def _moments(zone: str | None) -> Callable[[pa.Array], pa.Array]:
    return lambda texts: pc.replace_substring(texts, "/", "-").cast(pa.timestamp("us", zone))


def _times(texts: pa.Array) -> pa.Array:
    return (
        pc.binary_join_element_wise("1970-01-01", texts, "T").cast(pa.timestamp("us")).cast(pa.time64("us"))
    )


#: The first that fits is taken.  What begins with a zero is a code, what begins with a plus a telephone
#: number; more than 18 digits are no number of 64 bits, more than 15 no exact one of floating point.
_KINDS = (
    Kind("integer", pa.int64(), r"^-?(0|[1-9]\d{0,17})$", lambda texts: texts.cast(pa.int64())),
    Kind(
        "number",
        pa.float64(),
        # 12E3 is a code; what a program writes has a point or a sign.
        r"^(-?((0|[1-9]\d{0,14})(\.\d*)?|\.\d+|\d\.\d+[eE]\d{1,3}|\d(\.\d+)?[eE][-+]\d{1,3})|NaN|nan)$",
        lambda texts: texts.cast(pa.float64()),
    ),
    Kind(
        "number",
        pa.float64(),
        r"^-?(0|[1-9]\d{0,14})(,\d+)?$",
        lambda texts: pc.replace_substring(texts, ",", ".").cast(pa.float64()),
        # Three digits behind each comma may be thousands.
        proof=r"^-?(0,|\d+,(\d{1,2}|\d{4,})$)",
    ),
    Kind(
        "boolean",
        pa.bool_(),
        r"^(true|false|True|False|TRUE|FALSE)$",
        lambda texts: pc.equal(pc.utf8_lower(texts), "true"),
    ),
    Kind(
        "date",
        pa.date32(),
        r"^\d{4}[-/]\d\d[-/]\d\d$",
        lambda texts: pc.replace_substring(texts, "/", "-").cast(pa.date32()),
        may_fail=True,
    ),
    Kind("datetime", pa.timestamp("us"), _MOMENT + "$", _moments(None), may_fail=True),
    Kind(
        "datetime",
        pa.timestamp("us", "UTC"),
        _MOMENT + r"(Z|[-+]\d\d(:?\d\d)?)$",
        _moments("UTC"),
        may_fail=True,
    ),
    Kind("time", pa.time64("us"), r"^\d\d:\d\d(:\d\d(\.\d{1,6})?)?$", _times, may_fail=True),
)


class Kinds:
    """The kinds of a table's columns, narrowed batch by batch.

    :param schema: as GDAL offers it; only columns of text are looked at
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._left = {number: list(_KINDS) for number, field in enumerate(schema) if is_text(field.type)}
        self._proven: set[tuple[int, Kind]] = set()
        self._filled: set[int] = set()

    def look(self, batch: pa.RecordBatch) -> None:
        """Drop the kinds that a value of this batch speaks against."""
        for number, left in self._left.items():
            if not left:
                continue
            texts = trimmed(batch.column(number)).drop_null()
            if not len(texts):
                continue
            self._filled.add(number)
            self._left[number] = [kind for kind in left if kind.fits(texts)]
            for kind in self._left[number]:
                if kind.proof and pc.any(pc.match_substring_regex(texts, kind.proof)).as_py():
                    self._proven.add((number, kind))

    def found(self) -> dict[int, Kind]:
        """The kind of each column, by its number in the batches, that is not just text."""
        result = {}
        for number in self._filled:
            for kind in self._left[number]:
                if not kind.proof or (number, kind) in self._proven:
                    result[number] = kind
                    break
        return result


def is_text(arrow: pa.DataType) -> bool:
    """Whether a column of this type holds texts."""
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def trimmed(column: pa.Array) -> pa.Array:
    """Texts without blanks around them; null where nothing is left."""
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), None, texts)
