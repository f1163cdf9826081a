"""Geodata files for tests, made in code: small, and with an exactly known content."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely

#: Nairobi and two neighbours: longitude, latitude, name.
TOWNS = ((36.8219, -1.2921, "Nairobi"), (37.0693, -1.0332, "Thika"), (36.0667, -0.3031, "Nakuru"))


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def point(lon: float, lat: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def geojson(*features: Any, **members: Any) -> bytes:
    return json.dumps(
        {"type": "FeatureCollection", "features": list(features), **members}, ensure_ascii=False
    ).encode()


def towns() -> bytes:
    return geojson(*(feature(point(lon, lat), name=name) for lon, lat, name in TOWNS))


def kml(*folders: tuple[str, str]) -> bytes:
    """A KML document; each folder is (name, placemarks)."""
    inside = "".join(f"<Folder><name>{name}</name>{placemarks}</Folder>" for name, placemarks in folders)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2">'
        f"<Document><name>Test</name>{inside}</Document></kml>"
    ).encode()


def placemark(name: str, lon: float, lat: float, **values: str) -> str:
    data = "".join(f'<Data name="{key}"><value>{value}</value></Data>' for key, value in values.items())
    return (
        f"<Placemark><name>{name}</name><ExtendedData>{data}</ExtendedData>"
        f"<Point><coordinates>{lon},{lat}</coordinates></Point></Placemark>"
    )


def town_placemarks() -> str:
    return "".join(placemark(name, lon, lat, kind="town") for lon, lat, name in TOWNS)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def shapefile(
    folder: Path,
    *,
    stem: str = "towns",
    geometries: Any = None,
    fields: dict[str, Any] | None = None,
    geometry_type: str = "Point",
    crs: str | None = "EPSG:4326",
    encoding: str = "UTF-8",
) -> dict[str, bytes]:
    """The parts of a Shapefile, file name -> bytes; three towns unless told otherwise."""
    shapes = (
        shapely.points([town[:2] for town in TOWNS])
        if geometries is None
        else np.array(geometries, dtype=object)
    )
    columns = {"name": [town[2] for town in TOWNS]} if fields is None else fields
    folder.mkdir(parents=True, exist_ok=True)
    pyogrio.raw.write(
        folder / f"{stem}.shp",
        geometry=shapely.to_wkb(shapes),
        field_data=[np.array(values) for values in columns.values()],
        fields=list(columns),
        geometry_type=geometry_type,
        crs=crs,
        driver="ESRI Shapefile",
        encoding=encoding,
    )
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"{stem}.*"))}


def dbf(rows: list[bytes], *, language: int = 0, width: int = 40) -> bytes:
    """A DBF file with one text column NAME, exactly as the bytes say."""
    length = 1 + width
    header = struct.pack("<4B I H H 17x B 2x", 3, 126, 1, 1, len(rows), 32 + 32 + 1, length, language)
    column = struct.pack("<11s c 4x B B 14x", b"NAME", b"C", width, 0)
    return header + column + b"\r" + b"".join(b" " + row.ljust(width) for row in rows) + b"\x1a"


def wkb_of(number: int, body: bytes) -> bytes:
    """Little-endian well-known binary of a type."""
    return struct.pack("<BI", 1, number) + body


def vertices(pairs: Any) -> bytes:
    """Vertices as well-known binary counts and lists them."""
    return struct.pack("<I", len(pairs)) + np.array(pairs, "<f8").tobytes()


def curve(number: int, pairs: Any) -> bytes:
    """A line (2) or a string of arcs (8)."""
    return wkb_of(number, vertices(pairs))


def container(number: int, *members: bytes) -> bytes:
    """A collection, a compound curve or another type that holds geometries."""
    return wkb_of(number, struct.pack("<I", len(members)) + b"".join(members))


def curve_polygon(*rings: bytes) -> bytes:
    """A polygon whose rings are curves."""
    return container(10, *rings)
