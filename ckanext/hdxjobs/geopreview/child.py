"""The parent's side of one child process: start it, bound it, decode what it says.

GDAL runs only in that child (``parser``).  Whatever happens to it, a crash, a
hang, a memory blow-up, ends here as an error with a code, and the worker lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ckanext.hdxjobs.errors import FAILURES, DetectError, PreviewError
from ckanext.hdxjobs.geopreview import verdicts
from ckanext.hdxjobs.geopreview.values import Progress

log = logging.getLogger(__name__)

PARSER = "ckanext.hdxjobs.geopreview.parser"
#: Bytes that a report may have; one layer of 10,000 columns needs about one million.
MAX_REPORT_BYTES = 16 * 1024**2
ERROR_LOG = "parser.log"
#: What a pipe may hold, so that parser and worker seldom wait for each other; a user may take so much (pipe(7)).
PIPE_BYTES = 1024**2


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
    "MALLOC_ARENA_MAX": "4",
}


@dataclass(frozen=True)
class Limits:
    """What one run of the child may use: wall-clock seconds and bytes of address space.

    :ivar sandbox: the setting: auto, require or off
    :ivar copy_bytes: that a translated copy of the file may have
    """

    timeout_s: float
    memory_bytes: int
    sandbox: str = "auto"
    copy_bytes: int = 2 * 1024**3


@dataclass
class Stream:
    """A layer's features on their way.

    :ivar report: filled once all batches were read
    :ivar bytes_read: how much of the file was read, or None: nobody can tell
    """

    batches: Iterator[pa.RecordBatch]
    report: dict[str, Any]
    bytes_read: Callable[[], Progress | None]


class Child:
    """A parser and the conversation with it; closed by its first failure."""

    def __init__(self, path: Path, asked: dict[str, Any], *, limits: Limits) -> None:
        self.path = path
        self._format, self._limits = asked["format"], limits
        self._timed_out = threading.Event()
        folder = path.parent
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
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[arg-type]
        self._clock = threading.Timer(0, self._expire)
        self._send(
            {
                **asked,
                "path": str(path),
                "report_fd": report_fd,
                "parent_pid": os.getpid(),
                "timeout_s": limits.timeout_s,
                "memory_bytes": limits.memory_bytes,
                "sandbox": limits.sandbox,
            }
        )

    def close(self) -> None:
        """Kill and reap it, whatever it does."""
        self._clock.cancel()
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._report):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        (self.path.parent / ERROR_LOG).unlink(missing_ok=True)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The child's report on a request; every other answer is an error."""
        self._begin(request)
        try:
            return self._finish()
        except BaseException:
            self.close()
            raise

    def batches(self, request: dict[str, Any], report: dict[str, Any]) -> Iterator[pa.RecordBatch]:
        """The child's batches, each checked in full; afterwards ``report`` is filled."""
        self._begin(request)
        try:
            try:
                with pa.ipc.open_stream(self._process.stdout) as features:
                    for batch in features:
                        batch.validate(full=True)
                        yield batch
            except (pa.ArrowException, OSError) as error:
                self._finish()
                raise self._crashed() from error
            report.update(self._finish())
        except BaseException:
            self.close()
            raise

    def bytes_read(self) -> Progress | None:
        """How far the child is in its file, by the kernel's word; None where it is not reading it."""
        process = Path(f"/proc/{self._process.pid}")
        with contextlib.suppress(OSError, ValueError):
            for link in (process / "fd").iterdir():
                if os.readlink(link) == str(self.path):
                    position = int((process / "fdinfo" / link.name).read_text().split()[1])
                    size = self.path.stat().st_size
                    return Progress(min(position, size), size, "bytes")
        return None

    def _begin(self, request: dict[str, Any]) -> None:
        """Send a request; its time begins."""
        self._clock = threading.Timer(self._limits.timeout_s, self._expire)
        self._clock.daemon = True
        self._clock.start()
        self._send(request)

    def _send(self, message: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 (for the type checker: it was asked for)
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()

    def _expire(self) -> None:
        self._timed_out.set()
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _finish(self) -> dict[str, Any]:
        text = self._report.readline(MAX_REPORT_BYTES + 1)
        self._clock.cancel()
        if self._timed_out.is_set():
            raise self._too_slow()
        try:
            report = json.loads(text)
        except ValueError as error:
            raise self._crashed() from error
        if not isinstance(report, dict):
            raise self._crashed()
        if "error" in report:
            told = _error(report["error"])
            raise verdicts.refusal(told, limit_bytes=self._limits.memory_bytes)
        return report

    def _too_slow(self) -> PreviewError:
        return DetectError("too-slow", limit=round(self._limits.timeout_s))

    def _crashed(self) -> PreviewError:
        self._kill()
        status, peak_bytes, tail = *self._reaped(), ""
        with contextlib.suppress(OSError):
            tail = (self.path.parent / ERROR_LOG).read_bytes()[-2000:].decode("utf-8", "replace")
            log.warning("parser ended with status %s while reading %s: %s", status, self._format, tail)
        if status == -signal.SIGXCPU:
            return self._too_slow()
        return verdicts.breakdown(
            tail, format_=self._format, peak_bytes=peak_bytes, limit_bytes=self._limits.memory_bytes
        )

    def _reaped(self) -> tuple[int, int]:
        """How the child ended, and the most memory it had in bytes; 0 where its parent, whose copy it was, had more."""
        if self._process.returncode is not None:
            return self._process.returncode, 0
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self._process.returncode, usage.ru_maxrss * 1024 if usage.ru_maxrss > own else 0


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
