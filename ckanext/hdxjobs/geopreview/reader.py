"""Reading a job's files: which reader is asked, and one more try with another where it breaks.

GDAL runs only in children (``child``, ``translate``).  Whatever happens to them, a crash, a hang, a memory
blow-up, ends here as an error with a code, and the worker lives.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview import charset, remedies, translate
from ckanext.hdxjobs.geopreview.child import Child, Limits, Stream
from ckanext.hdxjobs.geopreview.formats import COPY, Format
from ckanext.hdxjobs.geopreview.remedies import Way
from ckanext.hdxjobs.geopreview.values import Coordinates, Progress

__all__ = ["Limits", "Readers", "Stream"]

log = logging.getLogger(__name__)

NOTHING_SAID = Coordinates()


@dataclass(frozen=True)
class _Open:
    """A file that was described: by which reader, and what was read in its place."""

    format_: Format
    way: Way
    path: Path


class Readers:
    """The children of a job, one a file.

    The last one stays: what it parsed to describe a file need not be parsed again to stream it.

    :param preferred: the reader that is asked first, "pyogrio" or "ogr2ogr"
    """

    def __init__(self, limits: Limits, *, preferred: str = "pyogrio") -> None:
        self._limits = limits
        self._preferred = preferred
        self._turned = False
        self._child: Child | None = None
        self._child_path: Path | None = None
        self._open: dict[Path, _Open] = {}
        self._broke: _Open | None = None

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child that is left."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def bytes_read(self) -> Progress | None:
        """How much of the file at hand was read; None where nobody can tell.  May be asked by any thread."""
        child = self._child
        return child.bytes_read() if child else None

    def inspect(
        self, path: Path, *, format_: Format, coordinates: Coordinates = NOTHING_SAID
    ) -> list[dict[str, Any]]:
        """What the layers of a file are; see ``parsing.File.inspect``.

        A reader that breaks on the file gives way to another one, once; "driver" tells which it was.
        """
        broken: DetectError | None = None
        for way in self._ways(format_):
            try:
                return self._inspect(path, format_, coordinates, way)
            except DetectError as error:
                self.close()
                if broken is not None:
                    raise broken from error
                if error.code not in remedies.OF_THE_READER:
                    raise
                log.warning("%s read by %s: %s", format_.name, way.reader, error.code)
                broken = error
        raise broken or DetectError("internal")

    @contextlib.contextmanager
    def stream(
        self,
        path: Path,
        *,
        format_: Format,
        layer: str,
        encoding: str,
        coordinates: Coordinates = NOTHING_SAID,
    ) -> Iterator[Stream]:
        """Features of a layer: fid, EWKB in EPSG:3857, fields; see ``parsing.File.stream``."""
        opened = self._open.get(path) or _Open(format_, next(self._ways(format_)), path)
        if self._child is None or self._child_path != path:
            self._start(path, opened, coordinates, encoding=encoding if format_.name == "Shapefile" else None)
        assert self._child is not None  # noqa: S101 (for the type checker)
        request, report = {"verb": "stream", "layer": layer or None}, dict[str, Any]()
        result = Stream(self._child.batches(request, report), report, self._child.bytes_read)
        try:
            yield result
        except BaseException as error:
            self.close()
            if isinstance(error, DetectError) and error.code in remedies.OF_THE_READER:
                self._broke = opened
            raise

    @property
    def may_turn(self) -> bool:
        """After a stream that broke off: whether there is another reader, not tried yet."""
        broke = self._broke
        return not (broke is None or self._turned or broke.way == [*self._ways(broke.format_)][-1])

    def turn(self) -> bool:
        """After a stream that broke off: whether there is another reader, which is then the only one.

        What was described must be described anew: another reader may find other layers and fields.
        """
        self.close()
        turned, self._broke = self.may_turn, None
        self._turned |= turned
        return turned

    def _ways(self, format_: Format) -> Iterator[Way]:
        ways = remedies.ways(format_, preferred=self._preferred, installed=translate.drivers)
        return iter([*ways][-1:]) if self._turned else ways

    def _inspect(
        self, path: Path, format_: Format, coordinates: Coordinates, way: Way
    ) -> list[dict[str, Any]]:
        self.close()
        opened, said = _Open(format_, way, path), dict[str, Any](driver=way.driver)
        if way.reader == remedies.OGR2OGR:
            texts = charset.UTF8
            if format_.name == "Shapefile":
                texts = charset.of_dbf(path.with_suffix(".dbf"))
                said |= {"encoding": texts.name, "encoding_guessed": texts.guessed}
            copy = translate.translate(path, format_, way.driver, encoding=texts.name, limits=self._limits)
            opened = replace(opened, path=copy)
        child = self._start(path, opened, coordinates, encoding=None)
        layers: list[dict[str, Any]] = child.ask({"verb": "inspect"})["layers"]
        self._open[path] = opened
        return [layer | said for layer in layers]

    def _start(self, path: Path, opened: _Open, coordinates: Coordinates, *, encoding: str | None) -> Child:
        self.close()
        is_copy = opened.path != path
        asked = {
            "driver": COPY.drivers[0] if is_copy else opened.way.driver,
            "format": opened.format_.name,
            "is_copy": is_copy,
            "encoding": encoding,
            "coordinates": asdict(coordinates),
        }
        self._child, self._child_path = Child(opened.path, asked, limits=self._limits), path
        return self._child
