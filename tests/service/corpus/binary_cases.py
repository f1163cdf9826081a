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
    Case("shp: towns", shapefile_zip, "towns 3/3 Point"),
    Case("shp: in folders, shouting", lambda: zipped({f"A/B c/{name.upper()}": part for name, part in named(shapefile(), "towns").items()}), "TOWNS 3/3 Point"),
    Case("shp: two in one zip", lambda: zipped(named(shapefile(), "a") | named(shapefile(), "b")), "a 3/3 Point; b 3/3 Point"),
    Case("shp: two of one name in two folders", lambda: zipped(named(shapefile(), "x/a") | named(shapefile(), "y/a")), "a (x) 3/3 Point; a (y) 3/3 Point"),
    Case("shp: without .prj, degrees", lambda: shapefile_zip(without=[".prj"]), "towns 3/3 Point | crs-assumed 0"),
    Case("shp: without .prj, metres", lambda: shapefile_zip(without=[".prj"], crs="EPSG:32737", **POINTS_M), "unknown-crs"),
    Case("shp: without .shx", lambda: shapefile_zip(without=[".shx"]), "towns 3/3 Point | shapefile-parts-missing 1"),
    Case("shp: without .dbf", lambda: shapefile_zip(without=[".dbf"]), "towns 3/3 Point | shapefile-parts-missing 1"),
    Case("shp: without .shp", lambda: shapefile_zip(without=[".shp"]), "shapefile-incomplete"),
    Case("shp: the .shp alone in a zip", lambda: shapefile_zip(without=[".shx", ".dbf", ".prj", ".cpg"]), "towns 3/3 Point | crs-assumed 0 | shapefile-parts-missing 2"),
    Case("shp: a .shp without a zip", lambda: shapefile()[".shp"], "file 3/3 Point | crs-assumed 0 | shapefile-parts-missing 2"),
    Case("shp: a .dbf without a zip", lambda: shapefile()[".dbf"], "not-geodata"),
    Case("shp: another letter case of a part", lambda: zipped({"Towns.shp": shapefile()[".shp"], "towns.SHX": shapefile()[".shx"], "TOWNS.dbf": shapefile()[".dbf"]}), "Towns 3/3 Point | crs-assumed 0"),
    Case("shp: with its companions", lambda: zipped(named(shapefile(), "a") | {"a.sbn": b"x", "a.sbx": b"x", "a.shp.xml": b"<metadata/>", "a.qpj": b"x", "README.txt": b"hi", "map.pdf": b"%PDF-1.4"}), "a 3/3 Point"),
    Case("shp: no rows", lambda: shapefile_zip(geometries=[], fields={"n": np.array([], dtype="int32")}), "no-features"),
    Case("shp: UTM", lambda: shapefile_zip(crs="EPSG:32737", **POINTS_M), "towns 2/2 Point"),
    Case("shp: web mercator of Esri", lambda: shapefile_zip(crs="ESRI:102100", geometries=[shapely.Point(4e6, -1e5)] * 2, fields=TWO), "towns 2/2 Point"),
    Case("shp: feet of Texas", lambda: shapefile_zip(crs="EPSG:2277", geometries=[shapely.Point(3e6, 1e7)] * 2, fields=TWO), "towns 2/2 Point"),
    Case("shp: a local plan", lambda: local(LOCAL_PRJ), "unknown-crs"),
    Case("shp: a .prj of nonsense", lambda: local(b"nonsense"), "unknown-crs"),
    Case("shp: an empty .prj", lambda: local(b""), "unknown-crs"),
    Case("shp: heights", lambda: shapefile_zip(geometries=[shapely.Point(1, 2, 30)] * 2, fields=TWO, kind="Point Z"), "towns 2/2 Point | z-dropped 2"),
    Case("shp: a shape that is null", lambda: shapefile_zip(geometries=[shapely.Point(1, 2), None], fields=TWO), "towns 2/1 Point | no-geometry 1"),
    Case("shp: areas with holes and parts", lambda: shapefile_zip(geometries=[shapely.MultiPolygon([shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 2, 2)), shapely.box(6, 6, 7, 7)])], fields={"n": np.array([1], dtype="int32")}, kind="MultiPolygon"), "towns 1/1 MultiPolygon"),
    Case("shp: the .shp is cut off", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:-20]}, "a")), "unreadable"),
    Case("shp: the .shp is cut to its header", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:60]}, "a")), "unreadable"),
    Case("shp: the .dbf is cut off", lambda: zipped(named({**shapefile(), ".dbf": shapefile()[".dbf"][:-40]}, "a")), "unreadable"),
    Case("shp: garbage in the .shp", lambda: zipped(named({**shapefile(), ".shp": shapefile()[".shp"][:100] + b"\xff" * 84}, "a")), "no-geometry"),
    Case("shp: Arabic by .cpg", lambda: dbf_text("القاهرة", "UTF-8"), "towns 1/1 Point"),
    Case("shp: Cyrillic by the language byte", lambda: without_cpg("Москва и область", "CP1251", 0xC9), "a 3/3 Point"),
    Case("shp: Cyrillic, nobody says so", lambda: without_cpg("Москва и область", "CP1251"), "a 3/3 Point | encoding-guessed 0"),
    Case("shp: Arabic, nobody says so", lambda: without_cpg("القاهرة الكبرى", "CP1256"), "a 3/3 Point | encoding-guessed 0"),
    Case("shp: Chinese, nobody says so", lambda: without_cpg("北京市海淀区中关村", "CP936"), "a 3/3 Point | encoding-guessed 0"),
    Case("shp: a good one and a bad one", lambda: zipped(named(shapefile(), "good") | {"bad.shp": b"\0\0\x27\x0a", "bad.shx": b"", "bad.dbf": b""}), "good 3/3 Point | layers-skipped 1"),
    Case("gpkg: towns", lambda: single("GPKG", ".gpkg"), "made 3/3 Point"),
    Case("gpkg: UTM", lambda: single("GPKG", ".gpkg", crs="EPSG:32737", **POINTS_M), "made 2/2 Point"),
    Case("gpkg: without a CRS, degrees", lambda: single("GPKG", ".gpkg", crs=None), "made 3/3 Point | crs-assumed 0"),
    Case("gpkg: in a zip", lambda: zipped({"data/a.gpkg": single("GPKG", ".gpkg")}), "made 3/3 Point"),
    Case("gpkg: gzipped", lambda: gzipped(single("GPKG", ".gpkg")), "made 3/3 Point"),
    Case("gpkg: cut off", lambda: single("GPKG", ".gpkg")[:30000], "unreadable"),
    Case("gpkg: no rows", lambda: single("GPKG", ".gpkg", geometries=[], fields={"n": np.array([], dtype="int32")}), "no-features"),
    Case("gpkg: binary fields", lambda: single("GPKG", ".gpkg", fields={"name": np.array(["a", "b", "c"], dtype=object), "blob": np.array([b"\x00\x01", None, b"x"], dtype=object)}), "made 3/3 Point"),
    Case("a database that is no geopackage", _sqlite, "unsupported-format"),
    Case("fgb: towns", lambda: single("FlatGeobuf", ".fgb"), "file 3/3 Point"),
    Case("fgb: cut off", lambda: single("FlatGeobuf", ".fgb")[:-30], "unreadable"),
    Case("fgb: its magic alone", b"fgb\x03fgb\x01", "unreadable"),
    Case("fgb: in a zip", lambda: zipped({"a.fgb": single("FlatGeobuf", ".fgb")}), "a 3/3 Point"),
    Case("gdb: towns", lambda: folder_zip("OpenFileGDB", ".gdb"), "made 3/3 Point"),
    Case("gdb: a zip of its content", lambda: zipped({name.partition("/")[2]: part for name, part in written("OpenFileGDB", ".gdb").items()}), "made 3/3 Point"),
    Case("gdb: in a folder", lambda: zipped({f"x/y/{name}": part for name, part in written("OpenFileGDB", ".gdb").items()}), "made 3/3 Point"),
    Case("gdb: a part is missing", lambda: zipped({name: part for name, part in written("OpenFileGDB", ".gdb").items() if "a00000001.gdbtable" not in name}), "zip-without-layers"),
    Case("tab: towns", lambda: folder_zip("MapInfo File", ".tab", layer_options={"FORMAT": "MAPINFO"}), "made 3/3 Point"),
    Case("tab: without its .dat", lambda: zipped({name: part for name, part in written("MapInfo File", ".tab").items() if not name.endswith(".dat")}), "mapinfo-incomplete"),
    Case("tab: the .tab alone", lambda: written("MapInfo File", ".tab")["made.tab"], "mapinfo-incomplete"),
    Case("mif: towns", lambda: folder_zip("MapInfo File", ".mif"), "made 3/3 Point"),
    Case("mif: without its .mid", lambda: zipped({name: part for name, part in written("MapInfo File", ".mif").items() if not name.endswith(".mid")}), "mapinfo-incomplete"),
    Case("zip: empty", zipped({}), "zip-without-layers"),
    Case("zip: a text alone", zipped({"README.txt": b"hello"}), "zip-without-layers"),
    Case("zip: a table in words", zipped({"word/document.xml": b"<x/>", "[Content_Types].xml": b"<Types/>"}), "unsupported-format"),
    Case("zip: in a zip", zipped({"inner.zip": zipped({"a.geojson": towns()})}), "packed-twice"),
    Case("zip: two formats", zipped({"a.geojson": towns(), "b.kml": b'<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><Point><coordinates>1,2</coordinates></Point></Placemark></kml>'}), "a 3/3 Point; b 1/1 Point"),
    Case("zip: a good and a bad GeoJSON", zipped({"a.geojson": towns(), "b.geojson": towns()[:100]}), "a 3/3 Point | layers-skipped 1"),
    Case("zip: litter of macOS", zipped({"a.geojson": towns(), "__MACOSX/._a.geojson": towns(), ".DS_Store": b"x"}), "a 3/3 Point"),
    Case("zip: more layers than are drawn", zipped({f"l{n:02}.geojson": towns() for n in range(13)}), "l00 3/3 Point; l01 3/3 Point; l02 3/3 Point; l03 3/3 Point; l04 3/3 Point; l05 3/3 Point; l06 3/3 Point; l07 3/3 Point; l08 3/3 Point; l09 3/3 Point | layers-skipped 3"),
    Case("zip: encrypted", encrypted, "bad-zip"),
    Case("zip: a link", link, "unsafe-zip"),
    Case("zip: a name twice", twice, "unsafe-zip"),
    Case("zip: out of the folder", zipped({"../../a.geojson": towns()}), "unsafe-zip"),
    Case("zip: an absolute name", zipped({"/etc/a.geojson": towns()}), "unsafe-zip"),
    Case("zip: cut off", zipped({"a.geojson": towns()})[:-30], "bad-zip"),
    Case("zip: something before it", b"#!/bin/sh\n" + zipped({"a.geojson": towns()}), "not-geodata"),
    Case("gzip: nothing inside", gzipped(b""), "not-geodata"),
    Case("gzip: a text inside", gzipped(b"hello world"), "not-geodata"),
    Case("nothing", b"", "empty-file"),
    Case("a NUL", b"\0", "not-geodata"),
    Case("noise", np.random.default_rng(1).bytes(5000), "not-geodata"),
    Case("a PNG", b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported-format"),
    Case("a GeoTIFF", b"II*\0" + struct.pack("<I", 8) + bytes(100), "unsupported-format"),
    Case("a PDF", b"%PDF-1.7\n" + bytes(100), "unsupported-format"),
    Case("a RAR", b"Rar!\x1a\x07\x01\x00" + bytes(100), "unsupported-format"),
    Case("a 7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), "unsupported-format"),
    Case("a program", b"\x7fELF" + bytes(100), "unsupported-format"),
    Case("a tar", _tar, "unsupported-format"),
)  # fmt: skip
