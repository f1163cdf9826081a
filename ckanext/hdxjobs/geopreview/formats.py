"""The formats we read, as one table: what publishers call them, and what reads them.

A row says how a format is *declared* (the resource's format field, a file's ending); what a file
really is, ``sniff`` finds in its bytes.  docs/formats.rst is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Format:
    """A row of the table.

    :ivar name: what people call it; also the word of the setting ``ckanext.hdxjobs.geopreview.formats``
    :ivar drivers: the GDAL drivers that read it, the preferred one first
    :ivar suffix: the ending that the driver wants on disk; for a folder its ending
    :ivar endings: file name endings that stand for it, lower case
    :ivar declared: what publishers write in the format field, lower case, mimetypes included
    :ivar single: a file of it has exactly one layer, which need not be asked for by name
    :ivar parsed: its drivers parse all of a file when they open it, so that counting first would take as long
    :ivar tabular: rows of plain columns; the place is in one or two of them
    :ivar crs: authority code of its coordinates where a file states none, as the format's definition has it
    :ivar options: open options of its drivers
    """

    name: str
    drivers: tuple[str, ...]
    suffix: str
    endings: tuple[str, ...]
    declared: tuple[str, ...] = ()
    single: bool = False
    parsed: bool = False
    tabular: bool = False
    crs: str = ""
    options: tuple[tuple[str, str], ...] = field(default=())


# A table: one format a row.
# fmt: off
_TABLE = (
    Format("GeoJSON", ("GeoJSON",), ".geojson", (".geojson",), ("geojson", "application/geo+json", "application/vnd.geo+json"), single=True, parsed=True),
    Format("GeoJSONSeq", ("GeoJSONSeq",), ".geojsonl", (".geojsonl", ".geojsons", ".ndgeojson"), ("geojsonseq", "geojsonl", "ndgeojson", "application/geo+json-seq"), single=True, parsed=True),
    Format("TopoJSON", ("TopoJSON",), ".topojson", (".topojson",), ("topojson", "application/topo+json"), parsed=True, crs="EPSG:4326"),
    Format("KML", ("LIBKML", "KML"), ".kml", (".kml", ".kmz"), ("kml", "kmz", "application/vnd.google-earth.kml+xml", "application/vnd.google-earth.kmz"), parsed=True),
    Format("Shapefile", ("ESRI Shapefile",), ".shp", (".shp", ".shp.zip", ".shz"), ("shp", "shapefile", "shapefiles", "esri shapefile", "zipped shapefile", "zipped shapefiles", "shp.zip", "zipped shp"), single=True),
    Format("GeoPackage", ("GPKG",), ".gpkg", (".gpkg",), ("gpkg", "geopackage", "application/geopackage+sqlite3")),
    Format("FlatGeobuf", ("FlatGeobuf",), ".fgb", (".fgb",), ("fgb", "flatgeobuf"), single=True),
    Format("GPX", ("GPX",), ".gpx", (".gpx",), ("gpx", "application/gpx+xml"), parsed=True),
    Format("FileGDB", ("OpenFileGDB",), ".gdb", (".gdb", ".gdb.zip"), ("gdb", "filegdb", "geodatabase", "file geodatabase", "esri geodatabase")),
    Format("MapInfo", ("MapInfo File",), ".tab", (".tab", ".mif"), ("tab", "mif", "mapinfo", "mapinfo tab", "mapinfo mif"), single=True),
    Format("GML", ("GML",), ".gml", (".gml",), ("gml", "application/gml+xml"), parsed=True, options=(("DOWNLOAD_SCHEMA", "NO"), ("WRITE_GFS", "NO"))),
    Format("CSV", ("CSV",), ".csv", (".csv",), ("csv", "text/csv"), single=True, parsed=True, tabular=True, options=(("EMPTY_STRING_AS_NULL", "YES"), ("MAX_LINE_SIZE", "-1"))),
    Format("TSV", ("CSV",), ".tsv", (".tsv",), ("tsv", "text/tab-separated-values"), single=True, parsed=True, tabular=True, options=(("EMPTY_STRING_AS_NULL", "YES"), ("MAX_LINE_SIZE", "-1"))),
    Format("XLSX", ("XLSX",), ".xlsx", (".xlsx",), ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), parsed=True, tabular=True),
)
# fmt: on

FORMATS: dict[str, Format] = {row.name: row for row in _TABLE}

#: Of a feature's attributes, these drivers read its name and description and leave out all others.
PLAIN_DRIVERS = frozenset({"KML"})

#: What another program translates a file into for us, because it keeps the most: see ``translate``.
COPY = FORMATS["GeoPackage"]


def copied(format_: Format) -> Format:
    """What a file is once it was translated: the copy's format, with the layers and columns it had."""
    return replace(COPY, single=format_.single, tabular=format_.tabular)
