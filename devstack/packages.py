"""System packages: what is missing for the servers, and how it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devstack import postgres
from devstack.paths import HERE, VENV
from devstack.steps import StepError, run

ADVICE = "see that the package servers can be reached and that you are root or may use sudo"
OLDEST_JAVA = 11


@dataclass(frozen=True)
class Need:
    """A thing the machine must have, and the packages that bring it."""

    name: str
    there: bool
    packages: tuple[str, ...]


def java_version(text: str) -> int:
    """The major version in what `javac -version` prints; 0 if it is not that."""
    found = re.search(r"javac (?:1\.)?(\d+)", text)
    return int(found.group(1)) if found else 0


def is_ubuntu(release: str) -> bool:
    """Whether an os-release file is Ubuntu's or of a system made from it."""
    words = re.findall(r'^(?:ID|ID_LIKE)="?([^"\n]*)', release, flags=re.MULTILINE)
    return "ubuntu" in " ".join(words).split()


def _has_java() -> bool:
    if not shutil.which("java") or not shutil.which("javac"):
        return False
    done = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False)
    return java_version(done.stdout + done.stderr) >= OLDEST_JAVA


def postgres_version(dependencies: str) -> str:
    """The release's PostgreSQL version in what `apt-cache depends postgresql` prints.

    :raises StepError: when there is none
    """
    found = re.search(r"postgresql-(\d+)", dependencies)
    if not found:
        raise StepError(
            "this release has no package postgresql", advice="use Debian 12, Ubuntu 22.04 or newer"
        )
    return found.group(1)


def browser() -> Path | None:
    """Debian's Chromium; Ubuntu's package is a snap, so there Playwright brings its own (None)."""
    program = Path("/usr/bin/chromium")
    return program if program.exists() and not _on_ubuntu() else None


def _on_ubuntu() -> bool:
    return is_ubuntu(Path("/etc/os-release").read_text())


def needs() -> list[Need]:
    """All that the stack and its tests run on."""
    there = [
        Need("PostgreSQL with PostGIS", postgres.programs() is not None, ("postgresql", "postgis")),
        Need("Redis", shutil.which("redis-server") is not None, ("redis-server",)),
        Need("Java", _has_java(), ("default-jdk-headless",)),
        Need("Maven", shutil.which("mvn") is not None, ("maven",)),
        Need("ogr2ogr", shutil.which("ogr2ogr") is not None, ("gdal-bin",)),
        Need("faketime", shutil.which("faketime") is not None, ("faketime",)),
        Need("fonts", Path("/usr/share/fonts/truetype/dejavu").exists(), ("fonts-dejavu-core",)),
    ]
    if not _on_ubuntu():
        there.append(Need("Chromium", browser() is not None, ("chromium",)))
    return there


def missing() -> list[Need]:
    """What has to be installed."""
    return [need for need in needs() if not need.there]


def as_root(*command: str | Path) -> list[str | Path]:
    """The command for somebody who may not be root."""
    if os.geteuid() == 0:
        return list(command)
    if not shutil.which("sudo"):
        raise StepError("system packages have to be installed", advice="run this as root, or install sudo")
    # Without a terminal nobody can type a password.
    return ["sudo", *([] if sys.stdin.isatty() else ["-n"]), *command]


def install(wanted: list[Need]) -> None:
    """Install what is missing with apt."""
    names = [name for need in wanted for name in need.packages]
    if "postgis" in names:
        # PostGIS is packaged for one PostgreSQL version, the release's own; the lists may be empty until now.
        run(as_root("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "update"), advice=ADVICE)
        version = postgres_version(run(["apt-cache", "depends", "postgresql"]))
        names = [name for name in names if name not in {"postgresql", "postgis"}]
        names += [f"postgresql-{version}", f"postgresql-{version}-postgis-3"]
    run(as_root(HERE / "apt-install", *names), advice=ADVICE)
    rest = missing()
    if rest:
        raise StepError(f"still missing after the installation: {', '.join(need.name for need in rest)}")


def has_browser() -> bool:
    """Whether browser tests have a browser."""
    if browser():
        return True
    code = (
        "import os\nfrom playwright.sync_api import sync_playwright as start\n"
        "with start() as it: raise SystemExit(not os.path.exists(it.chromium.executable_path))"
    )
    return (
        subprocess.run([VENV / "bin" / "python", "-c", code], capture_output=True, check=False).returncode
        == 0
    )


def ensure_browser() -> None:
    """Without Debian's Chromium: fetch Playwright's own and the libraries that it needs (Ubuntu)."""
    if has_browser():
        return
    playwright = VENV / "bin" / "playwright"
    run(as_root(playwright, "install-deps", "chromium"), advice=ADVICE)
    run([playwright, "install", "chromium"], advice="see that Playwright's download server can be reached")
