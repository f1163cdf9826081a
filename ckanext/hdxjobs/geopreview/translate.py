"""The second reader: the system's ogr2ogr, another build of GDAL, copies a file into a GeoPackage.

It runs in the same cage as the first one, with its driver and GeoPackage's left.  A GeoPackage and not a
FlatGeobuf, which as GDAL 3.6 writes it loses features without geometry, ids, dates, times and lists; what a
GeoPackage loses is told in docs/security.rst.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview.cage import Cage
from ckanext.hdxjobs.geopreview.child import ENVIRONMENT, ERROR_LOG, Limits
from ckanext.hdxjobs.geopreview.formats import COPY, Format
from ckanext.hdxjobs.geopreview.launcher import NO_SANDBOX
from ckanext.hdxjobs.geopreview.rules import size_text

log = logging.getLogger(__name__)

LAUNCHER = "ckanext.hdxjobs.geopreview.launcher"
#: What the copy is called, beside the file.
COPY_NAME = "copy.gpkg"
MAX_OPEN_FILES = 64
#: Seconds for a question that ogr2ogr answers at once.
ANSWER_TIMEOUT_S = 30
#: Names that no column of a file has, for the two columns that GeoPackage adds.
OWN_COLUMNS = ("FID=hdxjobs_fid", "GEOMETRY_NAME=hdxjobs_geometry")


def find() -> str | None:
    """Path of the system's ogr2ogr, or None: it is not installed."""
    return shutil.which("ogr2ogr")


def version() -> str | None:
    """What ogr2ogr says of itself, or None: it is not installed or does not start."""
    return _answer("--version")


@functools.cache
def drivers() -> frozenset[str]:
    """The vector drivers that ogr2ogr has; none where it is not installed."""
    return frozenset(re.findall(r"^ +(\S.*?) -\S*vector\S*- ", _answer("--formats") or "", re.MULTILINE))


def translate(path: Path, format_: Format, driver: str, *, encoding: str, limits: Limits) -> Path:
    """Copy all layers of a file; the copy's path, in the file's folder.

    :param driver: the one that reads it
    :param encoding: of a Shapefile's texts
    :raises DetectError: ogr2ogr refuses the file, breaks, or needs too much
    """
    copy = path.parent / COPY_NAME
    copy.unlink(missing_ok=True)
    environment = {
        **ENVIRONMENT,
        "OGR_SKIP": ",".join(sorted(drivers() - {driver, *COPY.drivers})),
        "OGR_SQLITE_SYNCHRONOUS": "OFF",
        "SHAPE_ENCODING": encoding,
        "TMPDIR": str(path.parent),
        "CPL_TMPDIR": str(path.parent),
    }
    status, said = _run(_setup(path, copy, format_, limits), environment, path.parent, limits)
    if status == 0 and not _complaint(said):
        return copy
    log.warning("ogr2ogr ended with status %s while reading %s: %s", status, format_.name, said[-2000:])
    raise _error(status, said, path, format_, limits)


def _setup(path: Path, copy: Path, format_: Format, limits: Limits) -> dict[str, object]:
    program = find() or ""
    options = [part for key, value in format_.options for part in ("-oo", f"{key}={value}")]
    layers = [part for option in ("SPATIAL_INDEX=NO", *OWN_COLUMNS) for part in ("-lco", option)]
    cage = Cage(
        folder=str(path.parent),
        memory_bytes=limits.memory_bytes,
        cpu_s=math.ceil(limits.timeout_s) + 5,
        file_bytes=limits.copy_bytes,
        open_files=MAX_OPEN_FILES,
        walls=limits.sandbox != "off",
        program=program,
    )
    return {
        "cage": asdict(cage),
        "parent_pid": os.getpid(),
        "required": limits.sandbox == "require",
        "arguments": [
            *(program, "-f", COPY.drivers[0], "-preserve_fid", *layers, *options),
            *(str(copy), str(path)),
        ],
    }


def _run(
    setup: dict[str, object], environment: dict[str, str], folder: Path, limits: Limits
) -> tuple[int, str]:
    """Exit status and what it said."""
    with (folder / ERROR_LOG).open("w+b") as errors:
        process = subprocess.Popen(  # noqa: S603 (own module, no shell, no user text in argv)
            [sys.executable, "-I", "-m", LAUNCHER],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            process.communicate(json.dumps(setup).encode() + b"\n", timeout=limits.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise DetectError("too-slow", limit=round(limits.timeout_s)) from error
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            (folder / ERROR_LOG).unlink(missing_ok=True)
        errors.seek(0)
        return process.returncode, errors.read(1024**2).decode("utf-8", "replace")


def _complaint(said: str) -> str:
    """What ogr2ogr calls an error, also one after which it goes on and says that all went well."""
    found = re.search(r"^ERROR \d+: (.+)$", said, re.MULTILINE)
    return found[1] if found else ""


def _error(status: int, said: str, path: Path, format_: Format, limits: Limits) -> DetectError:
    if status == NO_SANDBOX:
        return DetectError("sandbox-missing")
    if status == -signal.SIGXCPU:
        return DetectError("too-slow", limit=round(limits.timeout_s))
    if status == -signal.SIGXFSZ:
        size = size_text(limits.copy_bytes)
        return DetectError("file-too-big", limit=size, found=size)
    if status < 0:
        return DetectError("reader-crashed", format=format_.name)
    if "Unable to open datasource" in said:
        return DetectError("not-geodata")
    reason = _complaint(said).replace(str(path), path.name).replace(str(path.parent), "").strip()[:300]
    return DetectError("unreadable", format=format_.name, reason=reason or f"ogr2ogr: {status}")


def _answer(question: str) -> str | None:
    """What ogr2ogr says without a file; it gets nothing of our environment."""
    program = find()
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 (the arguments are ours)
            [program, question], env=ENVIRONMENT, capture_output=True, timeout=ANSWER_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("ogr2ogr does not start: %s", type(error).__name__)
        return None
    return done.stdout.decode("utf-8", "replace").strip()
