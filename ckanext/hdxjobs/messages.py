"""What a message to publishers is made of; the messages themselves are the tables in ``errors``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

#: What stands for a detail that nobody wrote down: an older release may have known less.
UNKNOWN = "…"
#: Details that may be words of ours.
WORDS = frozenset({"reason", "found"})


def N_(text: str) -> str:
    """Mark a text for extraction; it is translated where it is shown."""
    return text


@dataclass(frozen=True)
class Failure:
    """A row of the table of failures.

    :ivar code: stable slug that users, logs and other programs see
    :ivar state: the preview's end state, "failed" or "unsupported"
    :ivar retryable: may the same file succeed later without anybody changing it?
    :ivar error_type: the original HDX stack's slug that old clients know
    """

    code: str
    message: str
    advice: str
    state: str = "failed"
    retryable: bool = False
    error_type: str = "unknown"

    @property
    def kind(self) -> str:
        """Either "transient": tried again without anybody's help; or "permanent": somebody has to do something."""
        return "transient" if self.retryable else "permanent"


@dataclass(frozen=True)
class NoticeText:
    """A row of the table of notices: what is said about a preview that is ready."""

    code: str
    message: str


def grouped(number: float) -> str:
    """A number as English readers write it: "1,000,000"."""
    return f"{number:,}"


@dataclass(frozen=True)
class Language:
    """How to speak to a reader.

    :ivar translate: from English to the reader's language
    :ivar number: a number as the reader writes it
    """

    translate: Callable[[str], str]
    number: Callable[[float], str]

    def say(self, text: str, params: Mapping[Any, Any]) -> str:
        """A text in the reader's language, filled in.

        A translation with a placeholder of its own gives way to the English text, a detail that is
        not known to "…": neither may fail a page.
        """
        known = _Lenient(self._values(params))
        translated = self.translate(text)
        if placeholders(translated) <= placeholders(text):
            return translated.format_map(known)
        return text.format_map(known)

    def _values(self, params: Mapping[Any, Any]) -> dict[Any, Any]:
        values = {
            key: self.number(value) if type(value) in (int, float) else value for key, value in params.items()
        }
        for key in WORDS & values.keys():
            values[key] = self._words(str(values[key]), values)
        return values

    def _words(self, text: str, values: Mapping[Any, Any]) -> str:
        """Our own words have a translation, and may have details; GDAL's stay as they are."""
        translated = self.translate(text) if text else ""
        known = placeholders(translated) <= values.keys() - WORDS
        return translated.format_map(values) if known else translated


#: For logs, the command line and old clients.
ENGLISH = Language(str, grouped)


def placeholders(text: str) -> set[str]:
    """The names in braces of a text; a name that no text of ours has when its braces are not in order."""
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return {""}


class _Lenient(dict[Any, Any]):
    def __missing__(self, key: Any) -> str:
        return UNKNOWN
