"""Download -> Layers: what the content really is, and which layers it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ckanext.hdxjobs.errors import DetectError, PreviewError
from ckanext.hdxjobs.geopreview import rules
from ckanext.hdxjobs.geopreview.archive import Candidate, contents
from ckanext.hdxjobs.geopreview.charset import Charset
from ckanext.hdxjobs.geopreview.formats import FORMATS, PLAIN_DRIVERS
from ckanext.hdxjobs.geopreview.place import STEM, Placed, place
from ckanext.hdxjobs.geopreview.reader import Readers
from ckanext.hdxjobs.geopreview.values import Coordinates, Download, Layer, Notice

#: Columns that are named where none tells a place.
SHOWN_COLUMNS = 12
#: Codes of failures that concern one file of an archive; the others may still be fine.
OF_ONE_FILE = frozenset(
    {
        "mapinfo-incomplete",
        "unreadable",
        "unknown-crs",
        "no-features",
        "no-geometry",
        "no-coordinates",
        "not-geodata",
        "reader-crashed",
    }
)


def detect(  # noqa: PLR0913 (each is a limit of its own)
    download: Download,
    *,
    folder: Path,
    max_unpacked_bytes: int,
    max_layers: int,
    formats: frozenset[str],
    readers: Readers,
) -> tuple[tuple[Layer, ...], tuple[Notice, ...]]:
    """The layers of a file, in the order of the file, and what is to be said about it as a whole.

    :param folder: the job's own folder; unpacked files go below it
    :param formats: names of the formats that are switched on
    :raises DetectError: nothing in the file can become a map
    """
    if not download.byte_count:
        raise DetectError("empty-file")
    found: list[tuple[Placed, dict[str, Any]]] = []
    skipped: list[tuple[Candidate, PreviewError]] = []
    held = contents(download, folder=folder, max_unpacked_bytes=max_unpacked_bytes, formats=formats)
    passed_over = list(held.left_out)
    for number, candidate in enumerate(held.candidates, 1):
        if max(len(found), len(skipped)) >= max_layers:
            passed_over.append(candidate.name)
            continue
        try:
            placed = place(candidate, folder / f"layer-{number}")
            drawable, empty = _inspected(placed, readers, download.coordinates)
            found += drawable
            passed_over += empty
        except DetectError as error:
            if error.code not in OF_ONE_FILE:
                raise
            skipped.append((candidate, error))
    if not found:
        raise next((error for candidate, error in skipped if _is_missed(candidate, error)), skipped[0][1])
    passed_over += [description["name"] for _, description in found[max_layers:]]
    missed = [candidate.name for candidate, error in skipped if _is_missed(candidate, error)]
    return _layers(found[:max_layers], download), _skip_notices(missed + passed_over)


def _is_missed(candidate: Candidate, error: PreviewError) -> bool:
    """Whether somebody may look for it on the map: not for a KMZ's styles, nor for tables of codes beside the data."""
    return error.code != "no-coordinates" and not (candidate.format == "KML" and error.code == "no-features")


def _inspected(
    file: Placed, readers: Readers, coordinates: Coordinates
) -> tuple[list[tuple[Placed, dict[str, Any]]], list[str]]:
    """A file's layers that can be drawn, and the names of others that hold something."""
    format_ = FORMATS[file.format]
    layers = readers.inspect(file.path, format_=format_, coordinates=coordinates)
    drawable = _drawable(layers, tabular=format_.tabular)
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


def _layers(found: list[tuple[Placed, dict[str, Any]]], download: Download) -> tuple[Layer, ...]:
    names = rules.layer_names((_name(file, layer), file.name) for file, layer in found)
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


def _name(file: Placed, layer: dict[str, Any]) -> str:
    """What people call a layer: the file's name for formats of one layer, else the layer's own."""
    own = str(layer["name"]).strip()
    return (own if own != STEM else "") or PurePosixPath(file.name).stem or STEM


def _layer(file: Placed, said: dict[str, Any], *, name: str, layer_id: str, download: Download) -> Layer:
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
        encoding=file.charset.name if file.charset else said["encoding"],
        feature_count=said["feature_count"],
        fields=fields,
        coordinates=download.coordinates,
    )
    return replace(layer, notices=tuple(_notices(name, file, said)))


def _notices(name: str, file: Placed, said: dict[str, Any]) -> Iterable[Notice]:
    if said["driver"] in PLAIN_DRIVERS:
        yield Notice("attributes-left-out", layer=name)
    if said["crs_assumed"]:
        yield Notice("crs-assumed", layer=name)
    if said["swapped"]:
        yield Notice("coordinates-swapped", layer=name)
    charset = file.charset or Charset(said["encoding"], said["encoding_guessed"])
    if charset.guessed:
        yield Notice("encoding-guessed", layer=name, example=charset.name)
    if file.missing:
        yield Notice(
            "shapefile-parts-missing", layer=name, count=len(file.missing), example=", ".join(file.missing)
        )
    skipped = said["fields"]["skipped"]
    if skipped:
        yield Notice("columns-dropped", layer=name, count=len(skipped), example=skipped[0])
