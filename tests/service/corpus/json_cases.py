"""GeoJSON, its lines and its topology."""

from __future__ import annotations

import json

from corpus.build import Case, collection, feature, gzipped, one, point, shape, text, towns, zipped

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
TOPOLOGY = {
    "type": "Topology",
    "transform": {"scale": [0.1, 0.1], "translate": [0, 0]},
    "objects": {
        "land": {
            "type": "GeometryCollection",
            "geometries": [{"type": "Polygon", "arcs": [[0]], "properties": {"name": "a"}}],
        },
        "towns": {
            "type": "GeometryCollection",
            "geometries": [{"type": "Point", "coordinates": [3, 4], "properties": {"name": "b"}}],
        },
    },
    "arcs": [[[0, 0], [10, 0], [0, 10], [-10, 0], [0, -10]]],
}


def lines(*rows: object, separator: str = "\n") -> bytes:
    return separator.join(json.dumps(row) for row in rows).encode()


T = towns()
F = feature(point(1, 2), a=1)

CASES = (
    Case("plain towns", T, "file 3/3 Point"),
    Case("a bare point", json.dumps(point(1, 2)).encode(), "file 1/1 Point"),
    Case("a bare feature", json.dumps(F).encode(), "file 1/1 Point"),
    Case("a bare polygon", json.dumps(shape("Polygon", [SQUARE])).encode(), "file 1/1 Polygon"),
    Case("a bare collection of geometries", json.dumps({"type": "GeometryCollection", "geometries": [point(1, 2), shape("LineString", SQUARE)]}).encode(), "file 1/1 GeometryCollection"),
    Case("no features", collection(), "no-features"),
    Case("features that are null", b'{"type":"FeatureCollection","features":null}', "unreadable"),
    Case("features that are an object", b'{"type":"FeatureCollection","features":{}}', "unreadable"),
    Case("no member features", b'{"type":"FeatureCollection"}', "unreadable"),
    Case("geometry null everywhere", collection(feature(None, a=1), feature(None, a=2)), "no-geometry"),
    Case("geometry null once", collection(F, feature(None, a=2)), "file 2/1 Point | no-geometry 1"),
    Case("no member geometry", b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1}},{"type":"Feature","properties":{"a":2},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "file 2/1 Point | no-geometry 1"),
    Case("no member properties", b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}]}', "file 1/1 Point"),
    Case("properties null", collection({"type": "Feature", "properties": None, "geometry": point(1, 2)}), "file 1/1 Point"),
    Case("empty coordinates", collection(F, feature(shape("Point", []), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("an empty polygon", collection(F, feature(shape("Polygon", []), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("an empty multipolygon", collection(F, feature(shape("MultiPolygon", []), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("an empty collection", collection(F, feature({"type": "GeometryCollection", "geometries": []}, a=2)), "file 2/1 Point | no-geometry 1"),
    Case("a type that does not exist", collection(F, feature(shape("Circle", [1, 2]), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("coordinates as texts", collection(F, feature(shape("Point", ["1", "2"]), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("coordinates null", collection(F, feature(shape("Point", [None, None]), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("one coordinate", collection(F, feature(shape("Point", [1]), a=2)), "file 2/1 Point | no-geometry 1"),
    Case("three coordinates", collection(feature(point(1, 2)), feature(shape("Point", [1, 2, 300]), a=2)), "file 2/2 Point | z-dropped 2"),
    Case("seven coordinates", collection(F, feature(shape("Point", [1, 2, 3, 4, 5, 6, 7]), a=2)), "file 2/2 Point"),
    Case("a ring that is open", one(shape("Polygon", [SQUARE[:-1]])), "file 1/1 Polygon | geometry-repaired 1"),
    Case("a ring of three points", one(shape("Polygon", [SQUARE[:3]])), "file 1/1 Polygon | geometry-repaired 1"),
    Case("a ring of two points", one(shape("Polygon", [SQUARE[:2]])), "file 1/1 Polygon | geometry-repaired 1"),
    Case("a ring of one point again and again", one(shape("Polygon", [[[1, 1]] * 5])), "file 1/1 Polygon"),
    Case("a bow-tie", one(shape("Polygon", [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]])), "file 1/1 Polygon"),
    Case("a hole outside", one(shape("Polygon", [SQUARE, [[5, 5], [6, 5], [6, 6], [5, 5]]])), "file 1/1 Polygon"),
    Case("a hole that is its shell", one(shape("Polygon", [SQUARE, SQUARE])), "file 1/1 Polygon"),
    Case("duplicate points", one(shape("LineString", [[0, 0], [0, 0], [1, 1], [1, 1]])), "file 1/1 LineString"),
    Case("a line of one point", collection(F, feature(shape("LineString", [[0, 0]]), a=2)), "file 2/2 Geometry | geometry-repaired 1"),
    Case("a line of one point twice", collection(F, feature(shape("LineString", [[3, 3], [3, 3]]), a=2)), "file 2/2 Geometry"),
    Case("points, lines and areas", collection(F, feature(shape("LineString", SQUARE)), feature(shape("Polygon", [SQUARE]))), "file 3/3 Geometry"),
    Case("a collection in a collection", one({"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [point(1, 2)]}, shape("Polygon", [SQUARE])]}), "file 1/1 GeometryCollection"),
    Case("collections a hundred deep", lambda: one(_nested(100)), "file 1/1 MultiPoint"),
    Case("a multipoint of nobody", collection(F, feature(shape("MultiPoint", []))), "file 2/1 Point | no-geometry 1"),
    Case("latitude first, as far as one can tell", one(point(-1.3, 136.8)), "coordinates-out-of-range"),
    Case("a point at 1e308", collection(F, feature(point(1e308, 1e308), a=2)), "file 2/1 Point | out-of-range 1"),
    Case("a point at latitude 91", collection(F, feature(point(0, 91), a=2)), "file 2/1 Point | out-of-range 1"),
    Case("a point at longitude 181", collection(F, feature(point(181, 0), a=2)), "file 2/2 Point"),
    Case("all points in metres", collection(*(feature(point(500000 + n, 9800000)) for n in range(3))), "coordinates-out-of-range"),
    Case("NaN as JavaScript writes it", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":NaN},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "file 1/1 Point"),
    Case("coordinates NaN", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[NaN,NaN]}},{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "file 2/1 Point | no-geometry 1"),
    Case("a bad part of a multipoint", one(shape("MultiPoint", [[1, 2], [1e30, 2]])), "file 1/1 MultiPoint | parts-out-of-range 1"),
    Case("a pole", one(point(0, 90)), "file 1/1 Point | beyond-map 1"),
    Case("a line over the antimeridian", one(shape("LineString", [[179, 0], [-179, 1]])), "file 1/1 MultiLineString"),
    Case("an area over the antimeridian", one(shape("Polygon", [[[178, -17], [-178, -17.2], [-178, -16], [178, -16.1], [178, -17]]])), "file 1/1 MultiPolygon"),
    Case("an area from 177 to 183", one(shape("Polygon", [[[177, -17], [183, -17], [183, -16], [177, -16], [177, -17]]])), "file 1/1 MultiPolygon"),
    Case("the whole world as a box", one(shape("Polygon", [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]])), "file 1/1 Polygon"),
    Case("crs as old GeoJSON names it", towns(crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}), "file 3/3 Point"),
    Case("crs EPSG:3857", collection(feature(point(4096515, -144832)), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}), "file 1/1 Point"),
    Case("crs null", towns(crs=None), "file 3/3 Point"),
    Case("crs that does not exist", towns(crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::999999"}}), "file 3/3 Point"),
    Case("crs by a link", towns(crs={"type": "link", "properties": {"href": "http://127.0.0.1:1/crs"}}), "file 3/3 Point"),
    Case("a byte order mark", b"\xef\xbb\xbf" + T, "file 3/3 Point"),
    Case("UTF-16", T.decode().encode("utf-16"), "file 3/3 Point"),
    Case("Latin-1", json.dumps({"type": "FeatureCollection", "features": [feature(point(1, 2), name="São João da Boa Vista, café, niño")]}, ensure_ascii=False).encode("cp1252"), "file 1/1 Point | encoding-guessed 0"),
    Case("cut off in the middle", T[: len(T) // 2], "unreadable"),
    Case("cut off before its end", T[:-3], "unreadable"),
    Case("something after its end", T + b"\n<!-- generated -->", "unreadable"),
    Case("a comma too many", T[:-2] + b",]}", "unreadable"),
    Case("two documents", T + b"\n" + T, "unreadable"),
    Case("white space before", b" \n\t" * 50 + T, "file 3/3 Point"),
    Case("a callback around it", b"callback(" + T + b");", "not-geodata"),
    Case("lines", lines(F, F, F), "file 3/3 Point"),
    Case("lines with an empty one", lines(F) + b"\n\n" + lines(F) + b"\n", "file 2/2 Point"),
    Case("lines with record separators", b"".join(b"\x1e" + lines(F) + b"\n" for _ in range(3)), "file 3/3 Point"),
    Case("lines with a broken one", lines(F) + b'\n{"type":"Feature"\n' + lines(F), "file 2/2 Point"),
    Case("lines of geometries", lines(point(1, 2), point(3, 4)), "file 2/2 Point"),
    Case("an empty object", b"{}", "not-geodata"),
    Case("an empty list", b"[]", "not-geodata"),
    Case("a list of features", json.dumps([F, F]).encode(), "not-geodata"),
    Case("records without a place", json.dumps([{"a": 1}, {"a": 2}]).encode(), "not-geodata"),
    Case("an API's answer", json.dumps({"help": "x", "success": True, "result": {"records": []}}).encode(), "not-geodata"),
    Case("ESRI JSON", json.dumps({"geometryType": "esriGeometryPoint", "spatialReference": {"wkid": 4326}, "fields": [], "features": [{"attributes": {}, "geometry": {"x": 1, "y": 2}}]}).encode(), "unsupported-format"),
    Case("a topology", json.dumps(TOPOLOGY).encode(), "land 1/1 Polygon; towns 1/1 Point"),
    Case("a topology without objects", json.dumps({"type": "Topology", "objects": {}, "arcs": []}).encode(), "unreadable"),
    Case("a topology whose arcs are missing", json.dumps(TOPOLOGY | {"arcs": []}).encode(), "land 1/0 None; towns 1/1 Point | no-geometry 1"),
    Case("gzipped", gzipped(T), "file 3/3 Point"),
    Case("gzipped and cut off", gzipped(T)[:-10], "bad-zip"),
    Case("gzipped twice", gzipped(gzipped(T)), "packed-twice"),
    Case("in a zip, gzipped", zipped({"towns.geojson.gz": gzipped(T)}), "towns 3/3 Point"),
    Case("the same key twice", b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1,"a":2},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "file 1/1 Point"),
    Case("keys of every kind", collection(feature(point(1, 2), **{"": 1, "id": 2, "fid": 3, "ogc_fid": 4, "geom": 5, "hdx_geom": 6, "select": 7, "a;b": 8, "🗺": 9, "x" * 300: 10, "c1": 11})), "file 1/1 Point"),
    Case("63-byte twins", collection(feature(point(1, 2), **{"y" * 63 + "1": 1, "y" * 63 + "2": 2})), "file 1/1 Point"),
    Case("2,000 keys", lambda: collection(feature(point(1, 2), **{f"k{n}": n for n in range(2000)})), "file 1/1 Point | too-many-columns 2000"),
    Case("a number beyond 64 bits", one(point(1, 2), n=10**30), "file 1/1 Point"),
    Case("whole numbers and fractions", collection(feature(point(1, 2), n=1), feature(point(1, 2), n=1.5)), "file 2/2 Point"),
    Case("numbers and texts", collection(feature(point(1, 2), n=1), feature(point(1, 2), n="x")), "file 2/2 Point"),
    Case("lists and objects", one(point(1, 2), a=[1, [2]], b={"c": None}), "file 1/1 Point"),
    Case("a text of 100 kB", lambda: one(point(1, 2), t="x" * 100_000), "file 1/1 Point"),
    Case("a NUL in a text", one(point(1, 2), t="a\0b"), "file 1/1 Point"),
    Case("half of a surrogate pair", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"t":"\\ud83d"},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "file 1/1 Point"),
    Case("ids of all kinds", b'{"type":"FeatureCollection","features":[{"type":"Feature","id":"x","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},{"type":"Feature","id":7,"properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},{"type":"Feature","id":7,"properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "file 3/3 Point"),
    Case("negative ids", collection(*({"type": "Feature", "id": -n, "properties": {}, "geometry": point(1, 2)} for n in range(1, 4))), "file 3/3 Point"),
    Case("a hundred thousand points on one place", lambda: collection(*(feature(point(1, 2)) for _ in range(100_000))), "file 100000/100000 Point"),
    Case("a path as a file name", T, "passwd 3/3 Point", "../../etc/passwd.geojson"),
    Case("a name that GDAL would follow", T, "x 3/3 Point", "/vsicurl/http://127.0.0.1:1/x.geojson"),
)  # fmt: skip


def _nested(depth: int) -> dict[str, object]:
    geometry: dict[str, object] = point(1, 2)
    for _ in range(depth):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    return geometry
