"""Shapefiles, geodatabases, archives, and what is nothing of ours."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import shapely

from corpus.build import Case, gzipped, shapefile, shapefile_zip, single, towns, written, zipped

EAST_AFRICA = [shapely.Point(257000, 9856000), shapely.Point(258000, 9857000)]
TWO = {"n": np.array([1, 2], dtype="int32")}
LOCAL_PRJ = b'LOCAL_CS["site",LOCAL_DATUM["x",0],UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'


def named(parts: dict[str, bytes], stem: str) -> dict[str, bytes]:
    return {stem + suffix: part for suffix, part in parts.items()}


def dbf_text(value: str, encoding: str, **options: object) -> bytes:
    return shapefile_zip(
        geometries=[shapely.Point(1, 2)],
        fields={"name": np.array([value], dtype=object)},
        encoding=encoding,
        **options,
    )


def folder_zip(driver: str, suffix: str, **options: object) -> bytes:
    return zipped(written(driver, suffix, **options))


def without_cpg(value: str, encoding: str, byte: int = 0) -> bytes:
    parts = shapefile(
        geometries=[shapely.Point(1, 2)] * 3,
        fields={"name": np.array([value] * 3, dtype=object)},
        encoding=encoding,
    )
    parts.pop(".cpg", None)
    dbf = bytearray(parts[".dbf"])
    dbf[29] = byte
    return zipped(named({**parts, ".dbf": bytes(dbf)}, "a"))


def encrypted() -> bytes:
    raw = bytearray(zipped({"a.geojson": towns()}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + at] |= 1
    return bytes(raw)


def link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("a.geojson")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return out.getvalue()


def twice() -> bytes:
    raw = zipped({"a.geojson": towns(), "b.geojson": towns()})
    return raw.replace(b"b.geojson", b"a.geojson")


def local(value: bytes) -> bytes:
    parts = shapefile(geometries=EAST_AFRICA, fields=TWO, crs="EPSG:32737")
    return zipped(named({**parts, ".prj": value}, "a"))


def _sqlite() -> bytes:
    import sqlite3
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        connection = sqlite3.connect(file.name)
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
        connection.close()
        with open(file.name, "rb") as made:
            return made.read()


def _tar() -> bytes:
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("a.geojson")
        entry.size = len(towns())
        archive.addfile(entry, io.BytesIO(towns()))
    return out.getvalue()


POINTS_M = {"geometries": EAST_AFRICA, "fields": TWO}
CASES = (
    Case("shp: towns", shapefile_zip, "?"),
    Case("shp: in folders, shouting", lambda: zipped({f"A/B c/{name.upper()}": part for name, part in named(shapefile(), "towns").items()}), "?"),
    Case("shp: two in one zip", lambda: zipped(named(shapefile(), "a") | named(shapefile(), "b")), "?"),
    Case("shp: two of one name in two folders", lambda: zipped(named(shapefile(), "x/a") | named(shapefile(), "y/a")), "?"),
    Case("shp: without .prj, degrees", lambda: shapefile_zip(without=[".prj"]), "?"),
    Case("shp: without .prj, metres", lambda: shapefile_zip(without=[".prj"], crs="EPSG:32737", **POINTS_M), "?"),
    Case("shp: without .shx", lambda: shapefile_zip(without=[".shx"]), "?"),
    Case("shp: without .dbf", lambda: shapefile_zip(without=[".dbf"]), "?"),
    Case("shp: without .shp", lambda: shapefile_zip(without=[".shp"]), "?"),
    Case("shp: the .shp alone in a zip", lambda: shapefile_zip(without=[".shx", ".dbf", ".prj", ".cpg"]), "?"),
    Case("shp: a .shp without a zip", lambda: shapefile()[".shp"], "?"),
    Case("shp: a .dbf without a zip", lambda: shapefile()[".dbf"], "?"),
    Case("shp: another letter case of a part", lambda: zipped({"Towns.shp": shapefile()[".shp"], "towns.SHX": shapefile()[".shx"], "TOWNS.dbf": shapefile()[".dbf"]}), "?"),
    Case("shp: with its companions", lambda: zipped(named(shapefile(), "a") | {"a.sbn": b"x", "a.sbx": b"x", "a.shp.xml": b"<metadata/>", "a.qpj": b"x", "README.txt": b"hi", "map.pdf": b"%PDF-1.4"}), "?"),
    Case("shp: no rows", lambda: shapefile_zip(geometries=[], fields={"n": np.array([], dtype="int32")}), "?"),
    Case("shp: UTM", lambda: shapefile_zip(crs="EPSG:32737", **POINTS_M), "?"),
    Case("shp: web mercator of Esri", lambda: shapefile_zip(crs="ESRI:102100", geometries=[shapely.Point(4e6, -1e5)] * 2, fields=TWO), "?"),
    Case("shp: feet of Texas", lambda: shapefile_zip(crs="EPSG:2277", geometries=[shapely.Point(3e6, 1e7)] * 2, fields=TWO), "?"),
    Case("shp: a local plan", lambda: local(LOCAL_PRJ), "?"),
    Case("shp: a .prj of nonsense", lambda: local(b"nonsense"), "?"),
    Case("shp: an empty .prj", lambda: local(b""), "?"),
    Case("shp: heights", lambda: shapefile_zip(geometries=[shapely.Point(1, 2, 30)] * 2, fields=TWO, kind="Point Z"), "?"),
    Case("shp: a shape that is null", lambda: shapefile_zip(geometries=[shapely.Point(1, 2), None], fields=TWO), "?"),
    Case("shp: areas with holes and parts", lambda: shapefile_zip(geometries=[shapely.MultiPolygon([shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 2, 2)), shapely.box(6, 6, 7, 7)])], fields={"n": np.array([1], dtype="int32")}, kind="MultiPolygon"), "?"),
    Case("shp: the .shp is cut off", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:-20]}, "a")), "?"),
    Case("shp: the .shp is cut to its header", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:60]}, "a")), "?"),
    Case("shp: the .dbf is cut off", lambda: zipped(named({**shapefile(), ".dbf": shapefile()[".dbf"][:-40]}, "a")), "?"),
    Case("shp: garbage in the .shp", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:100] + b"\xff" * 84}, "a")), "?"),
    Case("shp: Arabic by .cpg", lambda: dbf_text("القاهرة", "UTF-8"), "?"),
    Case("shp: Cyrillic by the language byte", lambda: without_cpg("Москва и область", "CP1251", 0xC9), "?"),
    Case("shp: Cyrillic, nobody says so", lambda: without_cpg("Москва и область", "CP1251"), "?"),
    Case("shp: Arabic, nobody says so", lambda: without_cpg("القاهرة الكبرى", "CP1256"), "?"),
    Case("shp: Chinese, nobody says so", lambda: without_cpg("北京市海淀区中关村", "CP936"), "?"),
    Case("shp: a good one and a bad one", lambda: zipped(named(shapefile(), "good") | {"bad.shp": b"\0\0\x27\x0a", "bad.shx": b"", "bad.dbf": b""}), "?"),
    Case("gpkg: towns", lambda: single("GPKG", ".gpkg"), "?"),
    Case("gpkg: UTM", lambda: single("GPKG", ".gpkg", crs="EPSG:32737", **POINTS_M), "?"),
    Case("gpkg: without a CRS, degrees", lambda: single("GPKG", ".gpkg", crs=None), "?"),
    Case("gpkg: in a zip", lambda: zipped({"data/a.gpkg": single("GPKG", ".gpkg")}), "?"),
    Case("gpkg: gzipped", lambda: gzipped(single("GPKG", ".gpkg")), "?"),
    Case("gpkg: cut off", lambda: single("GPKG", ".gpkg")[:30000], "?"),
    Case("gpkg: no rows", lambda: single("GPKG", ".gpkg", geometries=[], fields={"n": np.array([], dtype="int32")}), "?"),
    Case("gpkg: binary fields", lambda: single("GPKG", ".gpkg", fields={"name": np.array(["a", "b", "c"], dtype=object), "blob": np.array([b"\x00\x01", None, b"x"], dtype=object)}), "?"),
    Case("a database that is no geopackage", _sqlite, "?"),
    Case("fgb: towns", lambda: single("FlatGeobuf", ".fgb"), "?"),
    Case("fgb: cut off", lambda: single("FlatGeobuf", ".fgb")[:-30], "?"),
    Case("fgb: its magic alone", b"fgb\x03fgb\x01", "?"),
    Case("fgb: in a zip", lambda: zipped({"a.fgb": single("FlatGeobuf", ".fgb")}), "?"),
    Case("gdb: towns", lambda: folder_zip("OpenFileGDB", ".gdb"), "?"),
    Case("gdb: a zip of its content", lambda: zipped({name.partition("/")[2]: part for name, part in written("OpenFileGDB", ".gdb").items()}), "?"),
    Case("gdb: in a folder", lambda: zipped({f"x/y/{name}": part for name, part in written("OpenFileGDB", ".gdb").items()}), "?"),
    Case("gdb: a part is missing", lambda: zipped({name: part for name, part in written("OpenFileGDB", ".gdb").items() if "a00000001.gdbtable" not in name}), "?"),
    Case("tab: towns", lambda: folder_zip("MapInfo File", ".tab", layer_options={"FORMAT": "MAPINFO"}), "?"),
    Case("tab: without its .dat", lambda: zipped({name: part for name, part in written("MapInfo File", ".tab").items() if not name.endswith(".dat")}), "?"),
    Case("tab: the .tab alone", lambda: written("MapInfo File", ".tab")["made.tab"], "?"),
    Case("mif: towns", lambda: folder_zip("MapInfo File", ".mif"), "?"),
    Case("mif: without its .mid", lambda: zipped({name: part for name, part in written("MapInfo File", ".mif").items() if not name.endswith(".mid")}), "?"),
    Case("zip: empty", zipped({}), "?"),
    Case("zip: a text alone", zipped({"README.txt": b"hello"}), "?"),
    Case("zip: a table in words", zipped({"word/document.xml": b"<x/>", "[Content_Types].xml": b"<Types/>"}), "?"),
    Case("zip: in a zip", zipped({"inner.zip": zipped({"a.geojson": towns()})}), "?"),
    Case("zip: two formats", zipped({"a.geojson": towns(), "b.kml": b'<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><Point><coordinates>1,2</coordinates></Point></Placemark></kml>'}), "?"),
    Case("zip: a good and a bad GeoJSON", zipped({"a.geojson": towns(), "b.geojson": towns()[:100]}), "?"),
    Case("zip: litter of macOS", zipped({"a.geojson": towns(), "__MACOSX/._a.geojson": towns(), ".DS_Store": b"x"}), "?"),
    Case("zip: sixty layers", zipped({f"l{n:02}.geojson": towns() for n in range(60)}), "?"),
    Case("zip: encrypted", encrypted, "?"),
    Case("zip: a link", link, "?"),
    Case("zip: a name twice", twice, "?"),
    Case("zip: out of the folder", zipped({"../../a.geojson": towns()}), "?"),
    Case("zip: an absolute name", zipped({"/etc/a.geojson": towns()}), "?"),
    Case("zip: cut off", zipped({"a.geojson": towns()})[:-30], "?"),
    Case("zip: something before it", b"#!/bin/sh\n" + zipped({"a.geojson": towns()}), "?"),
    Case("gzip: nothing inside", gzipped(b""), "?"),
    Case("gzip: a text inside", gzipped(b"hello world"), "?"),
    Case("nothing", b"", "?"),
    Case("a NUL", b"\0", "?"),
    Case("noise", np.random.default_rng(1).bytes(5000), "?"),
    Case("a PNG", b"\x89PNG\r\n\x1a\n" + bytes(100), "?"),
    Case("a GeoTIFF", b"II*\0" + struct.pack("<I", 8) + bytes(100), "?"),
    Case("a PDF", b"%PDF-1.7\n" + bytes(100), "?"),
    Case("a RAR", b"Rar!\x1a\x07\x01\x00" + bytes(100), "?"),
    Case("a 7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), "?"),
    Case("a program", b"\x7fELF" + bytes(100), "?"),
    Case("a tar", _tar, "?"),
)  # fmt: skip
