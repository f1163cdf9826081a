"""How messages are filled in: numbers, details that are missing, translations that are wrong."""

from __future__ import annotations

import pytest

from ckanext.hdxjobs.errors import FAILURES, DetectError, LoadError
from ckanext.hdxjobs.messages import ENGLISH, Language, placeholders

FRENCH = Language(lambda text: {"it took too long": "cela a pris trop de temps"}.get(text, text), str)


def speaking(translation: str) -> Language:
    """A language in which everything is said in these words."""
    return Language(lambda text: translation, str)


def test_numbers_are_written_as_the_reader_writes_them() -> None:
    german = Language(str, lambda number: f"{number:,}".replace(",", "."))
    assert german.say("More than {limit}.", {"limit": 5_000_000}) == "More than 5.000.000."


def test_logs_and_old_clients_read_english_numbers() -> None:
    assert "5,000,000" in str(LoadError("too-many-features", found=6_000_000, limit=5_000_000))


def test_a_text_that_looks_like_a_number_stays_as_it_is() -> None:
    assert ENGLISH.say("{layer}", {"layer": "2026"}) == "2026"


def test_a_detail_that_nobody_wrote_down_is_left_open() -> None:
    assert ENGLISH.say("{found} of {limit}", {"limit": "3 MB"}) == "… of 3 MB"


@pytest.mark.parametrize(
    "translation", ["Grenze: {grenze}", "Grenze: {limit", "Grenze: {}", "Grenze: {limit.__class__}"]
)
def test_a_wrong_translation_gives_way_to_the_english_text(translation: str) -> None:
    assert speaking(translation).say("Limit: {limit}", {"limit": "3 MB"}) == "Limit: 3 MB"


def test_a_reason_in_our_words_is_told_in_the_readers_language() -> None:
    assert FRENCH.say("Why: {reason}", {"reason": "it took too long"}) == "Why: cela a pris trop de temps"


def test_a_reason_may_have_details() -> None:
    assert ENGLISH.say("{reason}", {"reason": "{missing} bytes", "missing": 12_000}) == "12,000 bytes"


@pytest.mark.parametrize("reason", ['at {"type": "Point"}', "at {", "at {reason}", "at {0}"])
def test_a_reason_of_the_reader_is_shown_as_it_is(reason: str) -> None:
    assert ENGLISH.say("Why: {reason}", {"reason": reason}) == f"Why: {reason}"


def test_an_error_that_lacks_a_detail_is_not_raised() -> None:
    with pytest.raises(KeyError):
        DetectError("unreadable", format="KML")


@pytest.mark.parametrize("code", sorted(FAILURES))
def test_advice_stands_without_details(code: str) -> None:
    assert placeholders(FAILURES[code].advice) == set()
