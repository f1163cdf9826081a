"""Download -> candidates: the files that may hold layers, out of zips, KMZs and gzip files.

One level deep: a zip in a zip stays packed, unless it is one file to people (a workbook, a KMZ).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ckanext.hdxjobs.errors import DetectError
from ckanext.hdxjobs.geopreview import companions, foreign
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.sniff import GZIP, PAGE, ZIP, sniff
from ckanext.hdxjobs.geopreview.unzip import entry_names, gunzip, unzip
from ckanext.hdxjobs.geopreview.values import Download

#: Endings of tables of text inside archives, and those of texts that are looked at where there is nothing else:
#: beside the data lie many that only look like tables.
TABLE_ENDINGS, TEXT_ENDINGS = (".csv", ".tsv"), (".txt", ".tab", ".dat", "")


@dataclass(frozen=True)
class Candidate:
    """A file that may hold layers.

    :ivar name: what people call it, in an archive with its folders
    :ivar format: a name of ``formats.FORMATS``
    :ivar path: where it lies, under a name that says nothing
    :ivar parts: the other files that belong to it, by their endings or, in a geodatabase, their names
    """

    name: str
    format: str
    path: Path
    parts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a download holds.

    :ivar left_out: names of files that stay packed or whose format is switched off
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A file and what ``sniff`` says of it."""

    name: str
    path: Path
    kind: str | None


def contents(
    download: Download, *, folder: Path, max_unpacked_bytes: int, formats: frozenset[str]
) -> Contents:
    """What may become layers, in the order of the file.

    :param folder: the job's own folder; unpacked files go below it
    :param formats: names of the formats that are switched on
    :raises DetectError: there is nothing; or an archive is broken, or not safe to unpack
    """
    file = _File(download.file_name, download.path, sniff(download.path))
    unpacking = _Unpacking(folder, max_unpacked_bytes)
    if file.kind == GZIP:
        file = unpacking.gunzipped(file)
        if file.kind == GZIP:
            raise DetectError("packed-twice", entry=file.name)
    if file.kind != ZIP:
        return _only(_alone(file), formats)
    files = unpacking.unzipped(file.path)
    names = {entry.name for entry in files}
    if foreign.is_workbook(names):
        unpacking.forget()
        return _only(Candidate(file.name, "XLSX", file.path), formats)
    if document := foreign.foreign_document(names):
        raise DetectError("unsupported-format", found=document)
    return _in_archive(files, unpacking, formats)


class _Unpacking:
    """The folders that unpacked files go to, and what is left of the bytes they may have."""

    def __init__(self, folder: Path, max_unpacked_bytes: int) -> None:
        self._folder = folder
        self._limit = self._left = max_unpacked_bytes
        self._folders = 0

    def unzipped(self, archive: Path) -> list[_File]:
        """The files of a zip; litter is left out."""
        place = self._next_folder()
        entries = unzip(archive, folder=place, max_unpacked_bytes=self._left)
        self._left -= sum(entry.path.stat().st_size for entry in entries)
        return [
            _File(entry.name, entry.path, sniff(entry.path))
            for entry in entries
            if not _is_litter(entry.name)
        ]

    def gunzipped(self, file: _File) -> _File:
        """What a gzip file holds, under the name that it had before."""
        place = self._next_folder()
        place.mkdir(mode=0o700)
        target = place / "00000"
        self._left -= gunzip(file.path, target=target, name=file.name, max_unpacked_bytes=self._left)
        name = file.name[:-3] if file.name.lower().endswith(".gz") else file.name
        return _File(name, target, sniff(target))

    def forget(self) -> None:
        """Remove what was unpacked last: it was only to be looked at."""
        shutil.rmtree(self._folder / f"unpacked-{self._folders}")

    def _next_folder(self) -> Path:
        self._folders += 1
        return self._folder / f"unpacked-{self._folders}"


def _alone(file: _File) -> Candidate:
    """A file that is not in an archive."""
    if file.kind == PAGE:
        raise DetectError("html-page")
    if file.kind is None:
        raise _unknown(file.path)
    return Candidate(file.name, file.kind, file.path)


def _unknown(path: Path) -> DetectError:
    with path.open("rb") as file:
        found = foreign.foreign_kind(file.read(foreign.HEAD_BYTES))
    return DetectError("unsupported-format", found=found) if found else DetectError("not-geodata")


def _only(candidate: Candidate, formats: frozenset[str]) -> Contents:
    if candidate.format not in formats:
        raise DetectError("format-off", format=candidate.format)
    return Contents((candidate,))


def _in_archive(files: list[_File], unpacking: _Unpacking, formats: frozenset[str]) -> Contents:
    opened, packed = _opened(files, unpacking)
    found = _candidates(opened, TABLE_ENDINGS) or _candidates(opened, TEXT_ENDINGS)
    on = [candidate for candidate in found if candidate.format in formats]
    off = [candidate for candidate in found if candidate.format not in formats]
    if not on:
        raise _nothing(opened, off, packed)
    # What a KMZ shows first.
    on.sort(key=lambda candidate: PurePosixPath(candidate.name).name.lower() != "doc.kml")
    return Contents(tuple(on), tuple(packed + [candidate.name for candidate in off]))


def _opened(files: list[_File], unpacking: _Unpacking) -> tuple[list[_File], list[str]]:
    """The files of an archive, single packed ones unpacked, and the names of archives that stay packed."""
    opened: list[_File] = []
    packed: list[str] = []
    for entry in files:
        file = unpacking.gunzipped(entry) if entry.kind == GZIP else entry
        names = entry_names(file.path) if file.kind == ZIP else set()
        if foreign.is_workbook(names):
            unpacking.unzipped(file.path)
            unpacking.forget()
            opened.append(replace(file, kind="XLSX"))
        elif foreign.is_kmz(names):
            opened += [
                replace(inner, name=f"{file.name}/{inner.name}") for inner in unpacking.unzipped(file.path)
            ]
        elif file.kind in (ZIP, GZIP):
            if not foreign.foreign_document(names):
                packed.append(file.name)
        else:
            opened.append(file)
    return opened, packed


def _candidates(files: list[_File], table_endings: tuple[str, ...]) -> list[Candidate]:
    paths = {file.name: file.path for file in files}
    sets = companions.Sets(paths)
    result = [
        Candidate(folder, "FileGDB", next(iter(parts.values())), parts)
        for folder, parts in sets.geodatabases().items()
    ]
    for file in files:
        format_ = _format(file, table_endings)
        if format_ is not None:
            result.append(Candidate(file.name, format_, file.path, sets.parts(file.name, format_)))
    return result


def _format(file: _File, table_endings: tuple[str, ...]) -> str | None:
    """The format of a file in an archive, where names tell parts of a set from the rest."""
    ending = PurePosixPath(file.name).suffix.lower()
    if ending == ".shp":
        return "Shapefile"
    # Indexes of a Shapefile begin as the .shp does.
    if file.kind == "Shapefile" or (file.kind in ("CSV", "TSV") and ending not in table_endings):
        return None
    return file.kind if file.kind in FORMATS else None


def _nothing(files: list[_File], off: list[Candidate], packed: list[str]) -> DetectError:
    """Why an archive holds nothing to draw; the largest file says what it was made for."""
    if off:
        return DetectError("format-off", format=off[0].format)
    if packed:
        return DetectError("packed-twice", entry=packed[0])
    index = next((file.name for file in files if file.name.lower().endswith(".shx")), None)
    if index is not None:
        return DetectError("shapefile-incomplete", name=PurePosixPath(index).stem, missing=".shp")
    if files:
        error = _unknown(max(files, key=lambda file: file.path.stat().st_size).path)
        if error.code == "unsupported-format":
            return error
    return DetectError("zip-without-layers")


def _is_litter(name: str) -> bool:
    """What macOS and other systems leave in archives."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")
