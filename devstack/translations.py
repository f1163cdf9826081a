"""Translations: the texts that the code shows, gathered for translators."""

from __future__ import annotations

from devstack.paths import ROOT, VENV
from devstack.steps import run

CATALOGUE = ROOT / "ckanext/hdxjobs/i18n/ckanext-hdxjobs.pot"


def extract() -> int:
    """Write the catalogue of texts; returns how many there are."""
    CATALOGUE.parent.mkdir(exist_ok=True)
    run([VENV / "bin" / "python", "setup.py", "--quiet", "extract_messages"])
    text = CATALOGUE.read_text(encoding="utf-8")
    return text.count("\nmsgid ") - text.count('\nmsgid ""\nmsgstr ""\n"Project-Id')
