"""The three towns of ``makers`` in every format that we read: file name -> bytes, as they lie in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import makers
import numpy as np
import pyogrio
import shapely

NAMES = [name for _, _, name in makers.TOWNS]


def _features() -> list[Any]:
    return [makers.feature(makers.point(lon, lat), name=name) for lon, lat, name in makers.TOWNS]


def written(path: Path, driver: str, *, names: list[str] | None = None, **options: Any) -> dict[str, bytes]:
    """What a driver of this process writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapely.points([town[:2] for town in makers.TOWNS])),
        field_data=[np.array(names or NAMES)],
        fields=["name"],
        geometry_type="Point",
        crs="EPSG:4326",
        driver=driver,
        **options,
    )
    return {
        str(found.relative_to(path.parent)): found.read_bytes()
        for found in sorted(path.parent.rglob("*"))
        if found.is_file()
    }


def geojson(folder: Path) -> dict[str, bytes]:
    return {"towns.geojson": makers.towns()}


def geojson_lines(folder: Path) -> dict[str, bytes]:
    return {"towns.geojsonl": b"".join(json.dumps(item).encode() + b"\n" for item in _features())}


def geojson_records(folder: Path) -> dict[str, bytes]:
    """With the separators of RFC 8142, over several lines each."""
    return {
        "towns.geojsons": b"".join(
            b"\x1e" + json.dumps(item, indent=1).encode() + b"\n" for item in _features()
        )
    }


def topojson(folder: Path) -> dict[str, bytes]:
    places = [
        {"type": "Point", "coordinates": [lon, lat], "properties": {"name": name}}
        for lon, lat, name in makers.TOWNS
    ]
    objects = {"towns": {"type": "GeometryCollection", "geometries": places}}
    return {"towns.topojson": json.dumps({"type": "Topology", "objects": objects, "arcs": []}).encode()}


def kml(folder: Path) -> dict[str, bytes]:
    return {"towns.kml": makers.kml(("towns", makers.town_placemarks()))}


def gpx(folder: Path, encoding: str = "UTF-8", names: list[str] | None = None) -> dict[str, bytes]:
    points = "".join(
        f'<wpt lat="{lat}" lon="{lon}"><name>{name}</name></wpt>'
        for (lon, lat, _), name in zip(makers.TOWNS, names or NAMES, strict=True)
    )
    text = f'<?xml version="1.0" encoding="{encoding}"?><gpx version="1.1" creator="us" xmlns="http://www.topografix.com/GPX/1/1">{points}</gpx>'
    return {"towns.gpx": text.encode(encoding)}


def gml(folder: Path, encoding: str = "UTF-8", names: list[str] | None = None) -> dict[str, bytes]:
    """GML 3 as a WFS answers it; latitude first, as EPSG:4326 by its URN has it."""
    members = "".join(
        f'<wfs:member><my:towns gml:id="t.{number}"><my:name>{name}</my:name><my:place>'
        f'<gml:Point srsName="urn:ogc:def:crs:EPSG::4326"><gml:pos>{lat} {lon}</gml:pos></gml:Point>'
        "</my:place></my:towns></wfs:member>"
        for number, ((lon, lat, _), name) in enumerate(zip(makers.TOWNS, names or NAMES, strict=True))
    )
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?><wfs:FeatureCollection xmlns:wfs="http://www.opengis.net/wfs/2.0"'
        f' xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:my="http://example.org/my">{members}</wfs:FeatureCollection>'
    )
    return {"towns.gml": text.encode(encoding)}


def gml_2(folder: Path) -> dict[str, bytes]:
    members = "".join(
        f"<gml:featureMember><my:towns><my:name>{name}</my:name><my:place>"
        f'<gml:Point srsName="EPSG:4326"><gml:coordinates>{lon},{lat}</gml:coordinates></gml:Point>'
        "</my:place></my:towns></gml:featureMember>"
        for lon, lat, name in makers.TOWNS
    )
    text = f'<my:FeatureCollection xmlns:gml="http://www.opengis.net/gml" xmlns:my="http://example.org/my">{members}</my:FeatureCollection>'
    return {"towns.gml": text.encode()}


def geopackage(folder: Path) -> dict[str, bytes]:
    return written(folder / "gpkg" / "towns.gpkg", "GPKG")


def flatgeobuf(folder: Path) -> dict[str, bytes]:
    return written(folder / "fgb" / "towns.fgb", "FlatGeobuf")


def shapefile(folder: Path) -> dict[str, bytes]:
    return makers.shapefile(folder / "shp")


def mapinfo_tab(folder: Path) -> dict[str, bytes]:
    return written(folder / "tab" / "towns.tab", "MapInfo File")


def mapinfo_mif(folder: Path) -> dict[str, bytes]:
    return written(folder / "mif" / "towns.mif", "MapInfo File")


def geodatabase(folder: Path) -> dict[str, bytes]:
    return written(folder / "gdb" / "towns.gdb", "OpenFileGDB", layer="towns")


def csv(folder: Path) -> dict[str, bytes]:
    rows = "".join(f"{name},{lat},{lon}\n" for lon, lat, name in makers.TOWNS)
    return {"towns.csv": f"name,latitude,longitude\n{rows}".encode()}


def tsv(folder: Path) -> dict[str, bytes]:
    return {"towns.tsv": csv(folder)["towns.csv"].replace(b",", b"\t")}


def workbook(folder: Path) -> dict[str, bytes]:
    path = folder / "xlsx" / "towns.xlsx"
    path.parent.mkdir(parents=True)
    pyogrio.raw.write(
        path,
        geometry=None,
        field_data=[np.array(NAMES), *(np.array([town[axis] for town in makers.TOWNS]) for axis in (1, 0))],
        fields=["name", "latitude", "longitude"],
        geometry_type=None,
        crs=None,
        driver="XLSX",
    )
    return {"towns.xlsx": path.read_bytes()}


#: Formats of one file, which may lie bare, in a gzip file, or in a zip.
ONE_FILE: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "GeoJSON": geojson,
    "GeoJSONSeq, lines": geojson_lines,
    "GeoJSONSeq, records": geojson_records,
    "TopoJSON": topojson,
    "KML": kml,
    "GPX": gpx,
    "GML 3": gml,
    "GML 2": gml_2,
    "GeoPackage": geopackage,
    "FlatGeobuf": flatgeobuf,
}
#: Formats of several files, which come in a zip.
SEVERAL_FILES: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "Shapefile": shapefile,
    "FileGDB": geodatabase,
    "MapInfo TAB": mapinfo_tab,
    "MapInfo MIF": mapinfo_mif,
}
#: Tables: where their places are is found in their columns.
TABULAR: dict[str, Callable[[Path], dict[str, bytes]]] = {"CSV": csv, "TSV": tsv, "XLSX": workbook}
