"""Catalogues say the same as the code, in another language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

I18N = Path(__file__).resolve().parents[2] / "ckanext/hdxjobs/i18n"
CATALOGUES = sorted(I18N.glob("*/LC_MESSAGES/*.po"))


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


def translated(catalogue: Catalog) -> Iterator[Message]:
    return (message for message in catalogue if message.id and message.string)


def pairs(path: Path) -> list[tuple[list[str], list[str]]]:
    """Text and translation; one of each for every plural form."""
    with path.open("rb") as file:
        catalogue = read_po(file) if path.suffix == ".po" else read_mo(file)
    forms = [(message.id, message.string) for message in translated(catalogue)]
    return sorted(tuple([one] if isinstance(one, str) else list(one) for one in pair) for pair in forms)


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{\w*\}", text))


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_translation_has_no_placeholder_of_its_own(path: Path) -> None:
    wrong = [
        message.id
        for message in translated(read(path))
        for text in ([message.string] if isinstance(message.string, str) else message.string)
        if not placeholders(text) <= placeholders(str(message.id))
    ]

    assert wrong == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_the_compiled_catalogue_is_that_of_the_texts(path: Path) -> None:
    assert pairs(path.with_suffix(".mo")) == pairs(path)
