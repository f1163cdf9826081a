"""Translations: the texts that the code shows, gathered for translators, and what they made of them."""

from __future__ import annotations

from devstack.paths import ROOT, VENV
from devstack.steps import run

CATALOGUE = ROOT / "ckanext/hdxjobs/i18n/ckanext-hdxjobs.pot"


def extract() -> int:
    """Write the catalogue of texts, bring each language's up to date; returns how many texts there are."""
    CATALOGUE.parent.mkdir(exist_ok=True)
    for command in ("extract_messages", "update_catalog", "compile_catalog"):
        run([VENV / "bin" / "python", "setup.py", "--quiet", command])
    text = CATALOGUE.read_text(encoding="utf-8")
    return text.count("\nmsgid ") - text.count('\nmsgid ""\nmsgstr ""\n"Project-Id')
