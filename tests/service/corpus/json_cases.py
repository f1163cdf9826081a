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
    Case("plain towns", T, "?"),
    Case("a bare point", json.dumps(point(1, 2)).encode(), "?"),
    Case("a bare feature", json.dumps(F).encode(), "?"),
    Case("a bare polygon", json.dumps(shape("Polygon", [SQUARE])).encode(), "?"),
    Case("a bare collection of geometries", json.dumps({"type": "GeometryCollection", "geometries": [point(1, 2), shape("LineString", SQUARE)]}).encode(), "?"),
    Case("no features", collection(), "?"),
    Case("features that are null", b'{"type":"FeatureCollection","features":null}', "?"),
    Case("features that are an object", b'{"type":"FeatureCollection","features":{}}', "?"),
    Case("no member features", b'{"type":"FeatureCollection"}', "?"),
    Case("geometry null everywhere", collection(feature(None, a=1), feature(None, a=2)), "?"),
    Case("geometry null once", collection(F, feature(None, a=2)), "?"),
    Case("no member geometry", b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1}},{"type":"Feature","properties":{"a":2},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "?"),
    Case("no member properties", b'{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}]}', "?"),
    Case("properties null", collection({"type": "Feature", "properties": None, "geometry": point(1, 2)}), "?"),
    Case("empty coordinates", collection(F, feature(shape("Point", []), a=2)), "?"),
    Case("an empty polygon", collection(F, feature(shape("Polygon", []), a=2)), "?"),
    Case("an empty multipolygon", collection(F, feature(shape("MultiPolygon", []), a=2)), "?"),
    Case("an empty collection", collection(F, feature({"type": "GeometryCollection", "geometries": []}, a=2)), "?"),
    Case("a type that does not exist", collection(F, feature(shape("Circle", [1, 2]), a=2)), "?"),
    Case("coordinates as texts", collection(F, feature(shape("Point", ["1", "2"]), a=2)), "?"),
    Case("coordinates null", collection(F, feature(shape("Point", [None, None]), a=2)), "?"),
    Case("one coordinate", collection(F, feature(shape("Point", [1]), a=2)), "?"),
    Case("three coordinates", collection(feature(point(1, 2)), feature(shape("Point", [1, 2, 300]), a=2)), "?"),
    Case("seven coordinates", collection(F, feature(shape("Point", [1, 2, 3, 4, 5, 6, 7]), a=2)), "?"),
    Case("a ring that is open", one(shape("Polygon", [SQUARE[:-1]])), "?"),
    Case("a ring of three points", one(shape("Polygon", [SQUARE[:3]])), "?"),
    Case("a ring of two points", one(shape("Polygon", [SQUARE[:2]])), "?"),
    Case("a ring of one point again and again", one(shape("Polygon", [[[1, 1]] * 5])), "?"),
    Case("a bow-tie", one(shape("Polygon", [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]])), "?"),
    Case("a hole outside", one(shape("Polygon", [SQUARE, [[5, 5], [6, 5], [6, 6], [5, 5]]])), "?"),
    Case("a hole that is its shell", one(shape("Polygon", [SQUARE, SQUARE])), "?"),
    Case("duplicate points", one(shape("LineString", [[0, 0], [0, 0], [1, 1], [1, 1]])), "?"),
    Case("a line of one point", collection(F, feature(shape("LineString", [[0, 0]]), a=2)), "?"),
    Case("a line of one point twice", collection(F, feature(shape("LineString", [[3, 3], [3, 3]]), a=2)), "?"),
    Case("points, lines and areas", collection(F, feature(shape("LineString", SQUARE)), feature(shape("Polygon", [SQUARE]))), "?"),
    Case("a collection in a collection", one({"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [point(1, 2)]}, shape("Polygon", [SQUARE])]}), "?"),
    Case("collections a hundred deep", lambda: one(_nested(100)), "?"),
    Case("a multipoint of nobody", collection(F, feature(shape("MultiPoint", []))), "?"),
    Case("latitude first, as far as one can tell", one(point(-1.3, 136.8)), "?"),
    Case("a point at 1e308", collection(F, feature(point(1e308, 1e308), a=2)), "?"),
    Case("a point at latitude 91", collection(F, feature(point(0, 91), a=2)), "?"),
    Case("a point at longitude 181", collection(F, feature(point(181, 0), a=2)), "?"),
    Case("all points in metres", collection(*(feature(point(500000 + n, 9800000)) for n in range(3))), "?"),
    Case("NaN as JavaScript writes it", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":NaN},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "?"),
    Case("coordinates NaN", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[NaN,NaN]}},{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "?"),
    Case("a bad part of a multipoint", one(shape("MultiPoint", [[1, 2], [1e30, 2]])), "?"),
    Case("a pole", one(point(0, 90)), "?"),
    Case("a line over the antimeridian", one(shape("LineString", [[179, 0], [-179, 1]])), "?"),
    Case("an area over the antimeridian", one(shape("Polygon", [[[178, -17], [-178, -17.2], [-178, -16], [178, -16.1], [178, -17]]])), "?"),
    Case("an area from 177 to 183", one(shape("Polygon", [[[177, -17], [183, -17], [183, -16], [177, -16], [177, -17]]])), "?"),
    Case("the whole world as a box", one(shape("Polygon", [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]])), "?"),
    Case("crs as old GeoJSON names it", towns(crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}), "?"),
    Case("crs EPSG:3857", collection(feature(point(4096515, -144832)), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}), "?"),
    Case("crs null", towns(crs=None), "?"),
    Case("crs that does not exist", towns(crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::999999"}}), "?"),
    Case("crs by a link", towns(crs={"type": "link", "properties": {"href": "http://127.0.0.1:1/crs"}}), "?"),
    Case("a byte order mark", b"\xef\xbb\xbf" + T, "?"),
    Case("UTF-16", T.decode().encode("utf-16"), "?"),
    Case("Latin-1", json.dumps({"type": "FeatureCollection", "features": [feature(point(1, 2), name="São João da Boa Vista, café, niño")]}, ensure_ascii=False).encode("cp1252"), "?"),
    Case("cut off in the middle", T[: len(T) // 2], "?"),
    Case("cut off before its end", T[:-3], "?"),
    Case("something after its end", T + b"\n<!-- generated -->", "?"),
    Case("a comma too many", T[:-2] + b",]}", "?"),
    Case("two documents", T + b"\n" + T, "?"),
    Case("white space before", b" \n\t" * 50 + T, "?"),
    Case("a callback around it", b"callback(" + T + b");", "?"),
    Case("lines", lines(F, F, F), "?"),
    Case("lines with an empty one", lines(F) + b"\n\n" + lines(F) + b"\n", "?"),
    Case("lines with record separators", b"".join(b"\x1e" + lines(F) + b"\n" for _ in range(3)), "?"),
    Case("lines with a broken one", lines(F) + b'\n{"type":"Feature"\n' + lines(F), "?"),
    Case("lines of geometries", lines(point(1, 2), point(3, 4)), "?"),
    Case("an empty object", b"{}", "?"),
    Case("an empty list", b"[]", "?"),
    Case("a list of features", json.dumps([F, F]).encode(), "?"),
    Case("records without a place", json.dumps([{"a": 1}, {"a": 2}]).encode(), "?"),
    Case("an API's answer", json.dumps({"help": "x", "success": True, "result": {"records": []}}).encode(), "?"),
    Case("ESRI JSON", json.dumps({"geometryType": "esriGeometryPoint", "spatialReference": {"wkid": 4326}, "fields": [], "features": [{"attributes": {}, "geometry": {"x": 1, "y": 2}}]}).encode(), "?"),
    Case("a topology", json.dumps(TOPOLOGY).encode(), "?"),
    Case("a topology without objects", json.dumps({"type": "Topology", "objects": {}, "arcs": []}).encode(), "?"),
    Case("a topology whose arcs are missing", json.dumps(TOPOLOGY | {"arcs": []}).encode(), "?"),
    Case("gzipped", gzipped(T), "?"),
    Case("gzipped and cut off", gzipped(T)[:-10], "?"),
    Case("gzipped twice", gzipped(gzipped(T)), "?"),
    Case("in a zip, gzipped", zipped({"towns.geojson.gz": gzipped(T)}), "?"),
    Case("the same key twice", b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"a":1,"a":2},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "?"),
    Case("keys of every kind", collection(feature(point(1, 2), **{"": 1, "id": 2, "fid": 3, "ogc_fid": 4, "geom": 5, "hdx_geom": 6, "select": 7, "a;b": 8, "🗺": 9, "x" * 300: 10, "c1": 11})), "?"),
    Case("63-byte twins", collection(feature(point(1, 2), **{"y" * 63 + "1": 1, "y" * 63 + "2": 2})), "?"),
    Case("2,000 keys", lambda: collection(feature(point(1, 2), **{f"k{n}": n for n in range(2000)})), "?"),
    Case("a number beyond 64 bits", one(point(1, 2), n=10**30), "?"),
    Case("whole numbers and fractions", collection(feature(point(1, 2), n=1), feature(point(1, 2), n=1.5)), "?"),
    Case("numbers and texts", collection(feature(point(1, 2), n=1), feature(point(1, 2), n="x")), "?"),
    Case("lists and objects", one(point(1, 2), a=[1, [2]], b={"c": None}), "?"),
    Case("a text of 100 kB", lambda: one(point(1, 2), t="x" * 100_000), "?"),
    Case("a NUL in a text", one(point(1, 2), t="a\0b"), "?"),
    Case("half of a surrogate pair", text('{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"t":"\\ud83d"},"geometry":{"type":"Point","coordinates":[1,2]}}]}'), "?"),
    Case("ids of all kinds", b'{"type":"FeatureCollection","features":[{"type":"Feature","id":"x","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},{"type":"Feature","id":7,"properties":{},"geometry":{"type":"Point","coordinates":[1,2]}},{"type":"Feature","id":7,"properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}]}', "?"),
    Case("negative ids", collection(*({"type": "Feature", "id": -n, "properties": {}, "geometry": point(1, 2)} for n in range(1, 4))), "?"),
    Case("a hundred thousand points on one place", lambda: collection(*(feature(point(1, 2)) for _ in range(100_000))), "?"),
    Case("a path as a file name", T, "?", "../../etc/passwd.geojson"),
    Case("a name that GDAL would follow", T, "?", "/vsicurl/http://127.0.0.1:1/x.geojson"),
)  # fmt: skip


def _nested(depth: int) -> dict[str, object]:
    geometry: dict[str, object] = point(1, 2)
    for _ in range(depth):
        geometry = {"type": "GeometryCollection", "geometries": [geometry]}
    return geometry
