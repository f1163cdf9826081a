"""Candidate -> Placed: a file where its driver finds it, in a folder of its own, in UTF-8, with its parts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ckanext.hdxjobs.errors import N_, DetectError
from ckanext.hdxjobs.geopreview.archive import Candidate
from ckanext.hdxjobs.geopreview.charset import Charset
from ckanext.hdxjobs.geopreview.formats import FORMATS
from ckanext.hdxjobs.geopreview.references import defuse_crs
from ckanext.hdxjobs.geopreview.shapefile import missing_bytes, write_index
from ckanext.hdxjobs.geopreview.sniff import late_type
from ckanext.hdxjobs.geopreview.texts import as_utf8, put_type_first

#: What files are called on our disk, and so what GDAL calls a layer that has no name of its own.
STEM = "layer"
JSON = frozenset({"GeoJSON", "GeoJSONSeq", "TopoJSON"})
#: Formats whose drivers stumble over a byte order mark.
NO_MARK = frozenset({"GeoJSONSeq", "TopoJSON"})
XML = frozenset({"KML", "GPX", "GML"})
TABLES = frozenset({"CSV", "TSV"})
#: Parts of a Shapefile that belong to each; the map can do without them.
SHAPEFILE_PARTS = (".shx", ".dbf")
#: Parts without which the two kinds of MapInfo files hold no places.
TAB_PARTS, MIF_PARTS = (".dat", ".map", ".id"), (".mid",)


@dataclass(frozen=True)
class Placed:
    """A file the reader can open: in a folder of its own, under a name of our own.

    :ivar name: what people call it, in an archive with its folders
    :ivar charset: of a text, the encoding that it had; None: the driver knows
    :ivar missing: endings of parts that it does without
    """

    name: str
    format: str
    path: Path
    charset: Charset | None = None
    missing: tuple[str, ...] = ()


def place(candidate: Candidate, folder: Path) -> Placed:
    """Put a candidate into ``folder``, which is made.

    :raises DetectError: a part is missing or cut off
    """
    folder.mkdir(mode=0o700)
    if candidate.format == "Shapefile":
        return _shapefile(candidate, folder)
    if candidate.format == "MapInfo":
        return _mapinfo(candidate, folder)
    if candidate.format == "FileGDB":
        return _geodatabase(candidate, folder)
    target = folder / f"{STEM}{FORMATS[candidate.format].suffix}"
    os.link(candidate.path, target)
    charset = None
    if candidate.format in JSON | XML | TABLES:
        charset = as_utf8(
            target, is_xml=candidate.format in XML, may_have_mark=candidate.format not in NO_MARK
        )
    if candidate.format in JSON:
        defuse_crs(target)
        late = late_type(target, is_sequence=candidate.format == "GeoJSONSeq")
        if late is not None:
            put_type_first(target, late)
    return Placed(candidate.name, candidate.format, target, charset)


def _shapefile(candidate: Candidate, folder: Path) -> Placed:
    shp = folder / f"{STEM}.shp"
    for ending, part in {".shp": candidate.path, **candidate.parts}.items():
        target = shp.with_suffix(ending)
        os.link(part, target)
        lacking = missing_bytes(target) if ending in (".shp", *SHAPEFILE_PARTS) else 0
        if lacking:
            reason = N_("its {ending} file is cut off, bytes missing: {lacking}")
            raise DetectError("unreadable", format="Shapefile", reason=reason, ending=ending, lacking=lacking)
    missing = tuple(ending for ending in SHAPEFILE_PARTS if ending not in candidate.parts)
    if ".shx" in missing:
        write_index(shp, shp.with_suffix(".shx"))
    return Placed(candidate.name, "Shapefile", shp, missing=missing)


def _mapinfo(candidate: Candidate, folder: Path) -> Placed:
    with candidate.path.open("rb") as file:
        is_tab = file.read(1) == b"!"
    needs = TAB_PARTS if is_tab else MIF_PARTS
    missing = [ending for ending in needs if ending not in candidate.parts]
    if is_tab and ".dbf" in candidate.parts and ".dat" in missing:
        missing.remove(".dat")
    if missing:
        name = PurePosixPath(candidate.name).name
        raise DetectError("mapinfo-incomplete", name=name, missing=", ".join(missing))
    target = folder / f"{STEM}{'.tab' if is_tab else '.mif'}"
    os.link(candidate.path, target)
    for ending, part in candidate.parts.items():
        os.link(part, target.with_suffix(ending))
    return Placed(candidate.name, "MapInfo", target)


def _geodatabase(candidate: Candidate, folder: Path) -> Placed:
    target = folder / f"{STEM}.gdb"
    target.mkdir(mode=0o700)
    for name, part in candidate.parts.items():
        os.link(part, target / name)
    return Placed(candidate.name, "FileGDB", target)
