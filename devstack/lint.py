"""Lint: form, types, who may import whom, and requirements that agree with each other."""

from __future__ import annotations

import subprocess
import time

from devstack.paths import CKAN, CKANS, ROOT, VENV
from devstack.steps import say

CHECKS: dict[str, list[str]] = {
    "ruff format": ["ruff", "format", "--check", "."],
    "ruff check": ["ruff", "check", "--quiet", "."],
    "mypy, the wings": ["mypy"],
    "mypy, the stack": ["mypy", "--package", "devstack"],
    "import contracts": ["lint-imports", "--no-cache"],
    "requirements": ["pip", "check"],
}


def refusal() -> str:
    """Why lint cannot run with this CKAN; empty if it can."""
    if CKANS.index(CKAN) == 0:
        return ""
    return f"lint looks at the same code whichever CKAN runs it, and runs with {CKANS[0]} only"


def run() -> bool:
    """Run every check, show what those say that fail; True if none does."""
    if refusal():
        say(refusal())
        return False
    failed = []
    for name, command in CHECKS.items():
        began = time.monotonic()
        done = subprocess.run(
            [str(VENV / "bin" / command[0]), *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        verdict = "failed" if done.returncode else "ok"
        say(f"{time.monotonic() - began:7.1f} s  {name}: {verdict}")
        if done.returncode:
            failed.append(name)
            print(done.stdout, flush=True)
    if failed:
        say(f"lint failed: {', '.join(failed)}")
    return not failed
