"""Kinds of files that we know but do not read, in words for the publisher."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ckanext.hdxjobs.errors import N_

#: Bytes from the start that the table below looks at.
HEAD_BYTES = 4096

# A table: one kind a row.  The first that matches is it.
# fmt: off
_KINDS = tuple((re.compile(pattern, re.DOTALL), words) for pattern, words in (
    (rb"II[*+]\0|MM\0[*+]", N_("a GeoTIFF or other TIFF image")),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0{4}|RIFF.{4}WEBP|\0\0\0\x0cjP  ", N_("a picture")),
    (rb"%PDF", N_("a PDF document")),
    (rb"Rar!", N_("a RAR archive")),
    (rb"7z\xbc\xaf", N_("a 7z archive")),
    (rb".{257}ustar", N_("a tar archive")),
    (rb"BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd|\x1f[\x9d\xa0]|\x04\x22\x4d\x18", N_("a file packed with bzip2, xz or another program")),
    (rb"\xd0\xcf\x11\xe0", N_("an old Office document (such as .xls or .doc)")),
    (rb"\0\x01\0\0Standard (?:Jet|ACE) DB", N_("an Access database (such as a personal geodatabase)")),
    (rb"SQLite format 3\0.{52}MPBX|SQLite format 3\0.*CREATE (?:TABLE|VIEW) \W?tiles", N_("an MBTiles tile set")),
    (rb"SQLite format 3\0", N_("an SQLite database")),
    (rb"PMTiles", N_("a PMTiles tile set")),
    (rb"PAR1|ARROW1", N_("a Parquet or Arrow file")),
    (rb"\x89HDF|CDF[\x01\x02\x05]|GRIB", N_("a raster or data cube (NetCDF, HDF5 or GRIB)")),
    (rb"LASF", N_("a point cloud")),
    (rb"AC10\d\d|\s*0\s+SECTION\s", N_("a CAD drawing")),
    (rb".{4,6}OSMHeader|.{0,200}<osm[\s>]", N_("an OpenStreetMap extract")),
    (rb"EXP +0", N_("an ArcInfo export (E00)")),
    (rb".{0,500}<(?:\w+:)?(?:WMS|WFS|WMTS|WCS|WMT_MS)?_?Capabilities[\s>]", N_("the description of a map service, not its data")),
    (rb".{0,500}<(?:\w+:)?(?:Service)?ExceptionReport[\s>]", N_("a map service's error message")),
    (rb".{0,500}<(?:OGRVRTDataSource|qgis|MapDocument|VRTDataset)[\s>]", N_("a project that only refers to other files")),
    (rb"MZ|\x7fELF", N_("a program")),
    (rb"""\s*\{.*"(?:geometryType"\s*:\s*"esri|rings"|paths")""", N_("ESRI JSON")),
))

#: Entries that make a zip a document of another kind.
_ZIPPED = (
    ("word/document.xml", N_("a Word document")),
    ("ppt/presentation.xml", N_("a presentation")),
    ("xl/workbook.bin", N_("a binary Excel workbook (.xlsb)")),
    ("content.xml", N_("an OpenDocument file (such as .ods or .odt)")),
    ("META-INF/container.xml", N_("an e-book")),
    ("META-INF/MANIFEST.MF", N_("a program")),
)
# fmt: on


def foreign_kind(head: bytes) -> str | None:
    """What a file that begins like this is, or None: we do not know it."""
    return next((words for pattern, words in _KINDS if pattern.match(head)), None)


def foreign_document(names: set[str]) -> str | None:
    """What a zip with entries of these names is, or None: an archive."""
    if not names & {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}:
        return None
    return next((words for entry, words in _ZIPPED if entry in names), N_("a document of another program"))


def is_workbook(names: set[str]) -> bool:
    """Whether a zip with entries of these names is an XLSX file."""
    return {"[content_types].xml", "xl/workbook.xml"} <= {name.lower() for name in names}


def is_kmz(names: set[str]) -> bool:
    """Whether a zip with entries of these names is a KMZ file: KML and what belongs to it, in one place."""
    return any(name.lower().endswith(".kml") and len(PurePosixPath(name).parts) == 1 for name in names)
