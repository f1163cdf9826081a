"""The parent's side of parsing: start the child process, bound it, decode what it says.

GDAL runs only in that child (``parser``).  Whatever happens to it, a crash, a
hang, a memory blow-up, ends here as an error with a code, and the worker lives.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ckanext.hdxjobs.errors import FAILURES, DetectError, PreviewError

log = logging.getLogger(__name__)

#: Name that people know -> the GDAL driver that reads it.
DRIVERS = {"GeoJSON": "GeoJSON", "KML": "LIBKML", "Shapefile": "ESRI Shapefile"}
FORMATS = {driver: name for name, driver in DRIVERS.items()}

PARSER = "ckanext.hdxjobs.geopreview.parser"
#: Bytes that a report may have; one layer of 10,000 columns needs about one million.
MAX_REPORT_BYTES = 16 * 1024**2
ERROR_LOG = "parser.log"

ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "GDAL_DRIVER_PATH": "disable",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "PROJ_NETWORK": "OFF",
    "GDAL_PAM_ENABLED": "NO",
    "OGR_GEOJSON_MAX_OBJ_SIZE": "0",
    "GDAL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True)
class Limits:
    """What one run of the child may use: wall-clock seconds and bytes of address space."""

    timeout_s: float
    memory_bytes: int


@dataclass
class Stream:
    """A layer's features on their way; ``report`` is filled once all batches were read."""

    batches: Iterator[pa.RecordBatch]
    report: dict[str, Any]


def inspect(path: Path, *, driver: str, limits: Limits) -> list[dict[str, Any]]:
    """What the layers of a file are; see ``parsing.inspect``."""
    with _Child(path, driver=driver, limits=limits, request={"verb": "inspect"}) as child:
        layers: list[dict[str, Any]] = child.finish()["layers"]
        return layers


@contextlib.contextmanager
def stream(path: Path, *, driver: str, layer: str, encoding: str, limits: Limits) -> Iterator[Stream]:
    """Features of a layer: fid, EWKB in EPSG:3857, fields; see ``parsing.stream``."""
    request = {
        "verb": "stream",
        "layer": layer,
        "encoding": encoding if driver == DRIVERS["Shapefile"] else None,
    }
    with _Child(path, driver=driver, limits=limits, request=request) as child:
        result = Stream(batches=iter(()), report={})
        result.batches = child.batches(result.report)
        yield result


class _Child:
    """One run of the parser; always killed and reaped at the end."""

    def __init__(self, path: Path, *, driver: str, limits: Limits, request: dict[str, Any]) -> None:
        self._path, self._driver, self._limits = path, driver, limits
        self._request = request
        self._timed_out = threading.Event()

    def __enter__(self) -> _Child:
        folder = self._path.parent
        self._report, report_fd = _pipe()
        with (folder / ERROR_LOG).open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 (own module, no shell, no user text in argv)
                [sys.executable, "-I", "-m", PARSER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**ENVIRONMENT, "TMPDIR": str(folder), "CPL_TMPDIR": str(folder)},
                pass_fds=(report_fd,),
                start_new_session=True,
            )
        os.close(report_fd)
        self._clock = threading.Timer(self._limits.timeout_s, self._expire)
        self._clock.daemon = True
        self._clock.start()
        self._send(report_fd)
        return self

    def __exit__(self, *_: object) -> None:
        self._clock.cancel()
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._report):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        (self._path.parent / ERROR_LOG).unlink(missing_ok=True)

    def _send(self, report_fd: int) -> None:
        request = {
            **self._request,
            "path": str(self._path),
            "driver": self._driver,
            "format": FORMATS[self._driver],
            "report_fd": report_fd,
            "parent_pid": os.getpid(),
            "timeout_s": self._limits.timeout_s,
            "memory_bytes": self._limits.memory_bytes,
        }
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 (for the type checker: it was asked for)
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(json.dumps(request).encode())

    def _expire(self) -> None:
        self._timed_out.set()
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def batches(self, report: dict[str, Any]) -> Iterator[pa.RecordBatch]:
        """The child's batches, each checked in full; afterwards ``report`` is filled."""
        try:
            with pa.ipc.open_stream(self._process.stdout) as features:
                for batch in features:
                    batch.validate(full=True)
                    yield batch
        except (pa.ArrowException, OSError) as error:
            self.finish()
            raise self._crashed() from error
        report.update(self.finish())

    def finish(self) -> dict[str, Any]:
        """The child's report; every other end of the child is an error."""
        text = self._report.read(MAX_REPORT_BYTES + 1)
        if self._timed_out.is_set():
            raise DetectError("too-slow", limit=round(self._limits.timeout_s))
        try:
            report = json.loads(text)
        except ValueError as error:
            raise self._crashed() from error
        if not isinstance(report, dict):
            raise self._crashed()
        if "error" in report:
            raise _error(report["error"])
        return report

    def _crashed(self) -> PreviewError:
        self._kill()
        status = self._process.wait()
        with contextlib.suppress(OSError):
            tail = (self._path.parent / ERROR_LOG).read_bytes()[-2000:].decode("utf-8", "replace")
            log.warning(
                "parser ended with status %s while reading %s: %s", status, FORMATS[self._driver], tail
            )
        return DetectError("reader-crashed", format=FORMATS[self._driver])


def _pipe() -> tuple[IO[bytes], int]:
    read_end, write_end = os.pipe()
    return os.fdopen(read_end, "rb"), write_end


def _error(said: Any) -> PreviewError:
    """The child's error as ours; a code that is not in the table is not believed."""
    code = said.get("code") if isinstance(said, dict) else None
    if code not in FAILURES:
        return DetectError("internal")
    params = {str(key): str(value) for key, value in dict(said.get("params") or {}).items()}
    try:
        return DetectError(code, **params)
    except (KeyError, IndexError, TypeError):
        return DetectError("internal")
