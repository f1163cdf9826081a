"""Download -> Layers: what the content really is, and which layers it holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ckanext.hdxjobs.errors import DetectError, PreviewError
from ckanext.hdxjobs.geopreview import rules
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.reader import Readers
from ckanext.hdxjobs.geopreview.sniff import as_utf8, missing_bytes, sniff
from ckanext.hdxjobs.geopreview.unzip import Entry, unzip
from ckanext.hdxjobs.geopreview.values import Coordinates, Download, Layer, Notice

#: Parts without which a Shapefile cannot be drawn, and those that help when they are there.
SHAPEFILE_NEEDS = (".shx", ".dbf")
SHAPEFILE_HELPS = (".prj", ".cpg")
#: Endings that the reader expects.
SUFFIXES = {"GeoJSON": ".geojson", "KML": ".kml"}
#: What files are called on our disk, and so what GDAL calls a layer that has no name of its own.
STEM = "layer"
#: Entries that mark a zip as a document of another kind (docx, xlsx, ods, epub, jar).
FOREIGN_ENTRIES = frozenset({"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"})
#: Columns that are named where none tells a place.
SHOWN_COLUMNS = 12
#: Codes of failures that concern one file of an archive; the others may still be fine.
OF_ONE_FILE = frozenset(
    {
        "shapefile-incomplete",
        "unreadable",
        "unknown-crs",
        "no-features",
        "no-geometry",
        "not-geodata",
        "reader-crashed",
    }
)


@dataclass(frozen=True)
class _File:
    """A file the reader can open: in a folder of its own, under a name of our own."""

    name: str
    format: str
    path: Path


def detect(
    download: Download, *, folder: Path, max_unpacked_bytes: int, max_layers: int, readers: Readers
) -> tuple[tuple[Layer, ...], tuple[Notice, ...]]:
    """The layers of a file, in the order of the file, and what is to be said about it as a whole.

    :param folder: the job's own folder; unpacked files go below it
    :raises DetectError: nothing in the file can become a map
    """
    if not download.byte_count:
        raise DetectError("empty-file")
    found: list[tuple[_File, dict[str, Any]]] = []
    skipped: list[tuple[str, PreviewError]] = []
    passed_over: list[str] = []
    for candidate in _candidates(download, folder=folder, max_unpacked_bytes=max_unpacked_bytes):
        if max(len(found), len(skipped)) >= max_layers:
            passed_over.append(candidate.name)
            continue
        try:
            drawable, empty = _inspected(candidate.file(), readers, download.coordinates)
            found += drawable
            passed_over += empty
        except DetectError as error:
            if error.code not in OF_ONE_FILE:
                raise
            skipped.append((candidate.name, error))
    if not found:
        raise skipped[0][1]
    passed_over += [description["name"] for _, description in found[max_layers:]]
    return _layers(found[:max_layers], download), _skip_notices([name for name, _ in skipped] + passed_over)


def _inspected(
    file: _File, readers: Readers, coordinates: Coordinates
) -> tuple[list[tuple[_File, dict[str, Any]]], list[str]]:
    """A file's layers that can be drawn, and the names of others that hold something."""
    layers = readers.inspect(file.path, format_=FORMATS[file.format], coordinates=coordinates)
    drawable = _drawable(layers, tabular=FORMATS[file.format].tabular)
    others = [layer["name"] for layer in layers if layer["feature_count"] and layer not in drawable]
    return [(file, layer) for layer in drawable], others


def _skip_notices(names: list[str]) -> tuple[Notice, ...]:
    return (Notice("layers-skipped", count=len(names), example=names[0]),) if names else ()


def _drawable(layers: list[dict[str, Any]], *, tabular: bool) -> list[dict[str, Any]]:
    """The layers that have features in a known CRS; raises why there is none."""
    filled = [layer for layer in layers if layer["feature_count"] != 0]
    if not filled:
        raise DetectError("no-features")
    if tabular:
        placed = [layer for layer in filled if layer["geometry_type"]]
        if not placed:
            raise DetectError("no-coordinates", columns=_column_names(filled[0]))
        filled = placed
    known = [layer for layer in filled if not layer["crs_unknown"]]
    if not known:
        raise DetectError("unknown-crs")
    if not any(layer["geometry_type"] for layer in known):
        raise DetectError("no-geometry", count=sum(layer["feature_count"] for layer in known))
    return known


def _column_names(layer: dict[str, Any]) -> str:
    """The first columns of a table, for its publisher to recognize."""
    names = [field["name"] for field in layer["fields"]["kept"]]
    return ", ".join(rules.shorten(name, 60) for name in names[:SHOWN_COLUMNS]) + (
        ", …" if len(names) > SHOWN_COLUMNS else ""
    )


def _layers(found: list[tuple[_File, dict[str, Any]]], download: Download) -> tuple[Layer, ...]:
    per_file = {file: sum(1 for other, _ in found if other is file) for file, _ in found}
    names = rules.unique_names(_name(file, layer, alone=per_file[file] == 1) for file, layer in found)
    single = len(found) == 1
    return tuple(
        _layer(
            file,
            layer,
            name=name,
            layer_id=rules.layer_id(download.resource_id, "" if single else name),
            download=download,
        )
        for (file, layer), name in zip(found, names, strict=True)
    )


def _name(file: _File, layer: dict[str, Any], *, alone: bool) -> str:
    """What people call a layer: the file's name for formats of one layer, else the layer's own."""
    own = str(layer["name"]).strip()
    if own == STEM or file.format == "Shapefile" or (file.format == "GeoJSON" and alone):
        own = ""
    return own or PurePosixPath(file.name).stem or STEM


def _layer(file: _File, said: dict[str, Any], *, name: str, layer_id: str, download: Download) -> Layer:
    fields = rules.make_fields((field["name"], field["type"]) for field in said["fields"]["kept"])
    layer = Layer(
        layer_id=layer_id,
        resource_id=download.resource_id,
        generation=download.generation,
        path=file.path,
        format=file.format,
        name=name,
        name_in_file=said["name"],
        geometry_type=said["geometry_type"],
        source_crs=said["source_crs"],
        encoding=said["encoding"],
        feature_count=said["feature_count"],
        fields=fields,
        coordinates=download.coordinates,
    )
    return replace(layer, notices=tuple(_notices(name, said)))


def _notices(name: str, said: dict[str, Any]) -> Iterable[Notice]:
    if said["crs_assumed"]:
        yield Notice("crs-assumed", layer=name)
    if said["encoding_guessed"]:
        yield Notice("encoding-guessed", layer=name, example=said["encoding"])
    skipped = said["fields"]["skipped"]
    if skipped:
        yield Notice("columns-dropped", layer=name, count=len(skipped), example=skipped[0])


class _Candidate:
    """A file that may hold layers; ``file()`` puts it where the reader finds it."""

    def __init__(
        self, name: str, format_name: str, path: Path, *, folder: Path, parts: dict[str, Path] | None = None
    ) -> None:
        self.name = name
        self._format = format_name
        self._path = path
        self._folder = folder
        self._parts = parts or {}

    def file(self) -> _File:
        self._folder.mkdir(mode=0o700)
        if self._format == "Shapefile":
            return self._shapefile()
        target = self._folder / f"{STEM}{SUFFIXES[self._format]}"
        os.link(self._path, target)
        if self._format == "GeoJSON":
            as_utf8(target)
        return _File(self.name, self._format, target)

    def _shapefile(self) -> _File:
        missing = [suffix for suffix in SHAPEFILE_NEEDS if suffix not in self._parts]
        if missing:
            raise DetectError(
                "shapefile-incomplete", name=PurePosixPath(self.name).name, missing=", ".join(missing)
            )
        for suffix, part in {".shp": self._path, **self._parts}.items():
            target = self._folder / f"{STEM}{suffix}"
            os.link(part, target)
            lacking = missing_bytes(target) if suffix in (".shp", *SHAPEFILE_NEEDS) else 0
            if lacking:
                reason = f"{lacking} bytes of its {suffix} file are missing"
                raise DetectError("unreadable", format="Shapefile", reason=reason)
        return _File(self.name, "Shapefile", self._folder / f"{STEM}.shp")


def _candidates(download: Download, *, folder: Path, max_unpacked_bytes: int) -> list[_Candidate]:
    kind = sniff(download.path)
    if kind is None:
        raise DetectError("not-geodata")
    if kind == "zip":
        entries = unzip(download.path, folder=folder / "unpacked", max_unpacked_bytes=max_unpacked_bytes)
        return _in_archive(entries, folder=folder)
    return [_Candidate(download.file_name, kind, download.path, folder=folder / "layer-1")]


def _in_archive(entries: list[Entry], *, folder: Path) -> list[_Candidate]:
    if any(entry.name in FOREIGN_ENTRIES for entry in entries):
        raise DetectError("not-geodata")
    files = {entry.name: entry.path for entry in entries if not _is_litter(entry.name)}
    by_lower_name: dict[str, list[str]] = {}
    for name in files:
        by_lower_name.setdefault(name.lower(), []).append(name)
    result: list[_Candidate] = []
    for name, path in files.items():
        place = folder / f"layer-{len(result) + 1}"
        if name.lower().endswith(".shp"):
            result.append(
                _Candidate(
                    name, "Shapefile", path, folder=place, parts=_parts(name[:-4], by_lower_name, files)
                )
            )
        elif (kind := sniff(path)) in SUFFIXES:
            result.append(_Candidate(name, str(kind), path, folder=place))
    if not result:
        raise DetectError("zip-without-layers")
    return result


def _parts(stem: str, by_lower_name: dict[str, list[str]], files: dict[str, Path]) -> dict[str, Path]:
    """The other files of a Shapefile by their endings; letter case matters only where two would fit."""
    result = {}
    for suffix in SHAPEFILE_NEEDS + SHAPEFILE_HELPS:
        fits = by_lower_name.get((stem + suffix).lower(), [])
        if fits:
            result[suffix] = files[min(fits, key=lambda name: name[: len(stem)] != stem)]
    return result


def _is_litter(name: str) -> bool:
    """What macOS and other systems leave in archives."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")
