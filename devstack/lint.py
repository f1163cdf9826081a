"""Lint: form, types, who may import whom, and requirements that agree with each other."""

from __future__ import annotations

import subprocess
import time

from devstack.paths import ROOT, VENV
from devstack.steps import say

CHECKS: dict[str, list[str]] = {
    "ruff format": ["ruff", "format", "--check", "."],
    "ruff check": ["ruff", "check", "--quiet", "."],
    "mypy, the wings": ["mypy"],
    "mypy, the stack": ["mypy", "--package", "devstack"],
    "import contracts": ["lint-imports", "--no-cache"],
    "requirements": ["pip", "check"],
}


def run() -> bool:
    """Run every check, show what those say that fail; True if none does."""
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
