"""File: events as JSON lines, rotated by size; what a site has that has set nothing up.

Several processes may write to the same file: each batch is one write under a
lock, and what a killed process left unfinished is cut off before the next.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckanext.hdxjobs.analytics.events import Envelope
from ckanext.hdxjobs.analytics.sinks import Options, Receipt, required, settings

_STEP_BYTES = 65_536


@dataclass(frozen=True)
class Settings:
    """Where to write.

    :ivar path: the current file; older ones are beside it as ``.1`` (the newest) to ``.keep``
    :ivar max_bytes: size at which a new file is begun
    :ivar keep: older files that are kept
    """

    path: Path
    max_bytes: int = 50_000_000
    keep: int = 10


def build(options: Options) -> FileSink:
    """Make the sink from the options ``ckanext.hdxjobs.file.*``."""
    required(options, "path")
    return FileSink(settings(Settings, {**options, "path": Path(options["path"])}))


def line(envelope: Envelope) -> dict[str, Any]:
    """The event as one JSON object."""
    return {
        "time": envelope.occurred_at.isoformat().replace("+00:00", "Z"),
        "event": envelope.name,
        "event_id": envelope.event_id,
        "visitor_id": envelope.visitor_id,
        "session_id": envelope.session_id,
        "properties": dict(envelope.properties),
    }


class FileSink:
    """Writes to one file; see :class:`Settings`."""

    name = "file"
    max_events = 1_000

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def refusal(self, envelope: Envelope) -> str | None:  # noqa: ARG002 - every event can be written
        """Refuses nothing."""
        return None

    def send(self, batch: Sequence[Envelope]) -> Receipt:
        """Append the batch; it is on the disk when this returns."""
        lines = (json.dumps(line(envelope), ensure_ascii=False, separators=(",", ":")) for envelope in batch)
        text = "".join(f"{each}\n" for each in lines).encode("utf-8", "replace")
        try:
            with self._alone():
                self._rotate(len(text))
                _append(self._settings.path, text)
        except OSError as exc:
            return Receipt(
                pause_s=0.0, error=f"the events' file cannot be written: {os.strerror(exc.errno or 0)}"
            )
        return Receipt(delivered=frozenset(envelope.event_id for envelope in batch))

    def close(self) -> None:
        """Nothing is held open."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process writes; a lock that dies with its holder."""
        path = self._settings.path
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(
            path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _rotate(self, more: int) -> None:
        """Begin a new file if ``more`` bytes do not fit into this one."""
        path, keep = self._settings.path, self._settings.keep
        size = path.stat().st_size if path.exists() else 0
        if size == 0 or size + more <= self._settings.max_bytes:
            return
        for number in range(keep, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            with suppress(FileNotFoundError):
                newer.replace(older)


def _append(path: Path, text: bytes) -> None:
    """Append whole lines, or, when that fails, nothing."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        end = _end_of_lines(descriptor)
        os.ftruncate(descriptor, end)
        try:
            written = 0
            while written < len(text):
                written += os.write(descriptor, text[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def _end_of_lines(descriptor: int) -> int:
    """Where the last whole line ends; what follows was left by a process that died."""
    position = os.fstat(descriptor).st_size
    while position > 0:
        start = max(0, position - _STEP_BYTES)
        newline = os.pread(descriptor, position - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
