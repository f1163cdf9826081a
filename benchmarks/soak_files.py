"""Small files of four kinds, as publishers upload them: each is another one, made from its number."""

from __future__ import annotations

import csv
import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from shapely.geometry import mapping

LEAST, MOST = 20, 300


@dataclass(frozen=True)
class File:
    """:ivar count: of its features"""

    name: str
    format: str
    content: bytes
    count: int


@dataclass(frozen=True)
class Place:
    name: str
    people: int
    lon: float
    lat: float

    def area(self, rounds: random.Random) -> shapely.Polygon:
        """A district around it."""
        return shapely.Point(self.lon, self.lat).buffer(rounds.uniform(0.05, 0.4), quad_segs=8)


def make(number: int) -> File:
    """The kinds take turns."""
    chance = random.Random(number)
    places = [
        Place(
            f"Place {number}-{each}",
            chance.randint(100, 1_000_000),
            chance.uniform(-17, 50),
            chance.uniform(-34, 36),
        )
        for each in range(chance.randint(LEAST, MOST))
    ]
    format_, ending, write = KINDS[number % len(KINDS)]
    return File(f"soak-{number}.{ending}", format_, write(places, chance), len(places))


def _geojson(places: list[Place], chance: random.Random) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"name": place.name, "people": place.people},
            "geometry": mapping(place.area(chance)),
        }
        for place in places
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _kml(places: list[Place], _: random.Random) -> bytes:
    placemarks = "".join(
        f"<Placemark><name>{place.name}</name>"
        f'<ExtendedData><Data name="people"><value>{place.people}</value></Data></ExtendedData>'
        f"<Point><coordinates>{place.lon},{place.lat}</coordinates></Point></Placemark>"
        for place in places
    )
    start = '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
    return f"{start}{placemarks}</Document></kml>".encode()


def _shapefile(places: list[Place], chance: random.Random) -> bytes:
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        pyogrio.raw.write(
            Path(folder) / "places.shp",
            shapely.to_wkb([place.area(chance) for place in places]),
            [
                np.array([place.name for place in places], dtype=object),
                np.array([place.people for place in places], dtype=np.int32),
            ],
            ["name", "people"],
            geometry_type="Polygon",
            crs="EPSG:4326",
            driver="ESRI Shapefile",
        )
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in Path(folder).iterdir():
                archive.write(part, part.name)
    return buffer.getvalue()


def _csv(places: list[Place], _: random.Random) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["name", "people", "latitude", "longitude"])
    table.writerows((place.name, place.people, place.lat, place.lon) for place in places)
    return text.getvalue().encode()


KINDS: tuple[tuple[str, str, Callable[[list[Place], random.Random], bytes]], ...] = (
    ("GeoJSON", "geojson", _geojson),
    ("KML", "kml", _kml),
    ("SHP", "zip", _shapefile),
    ("CSV", "csv", _csv),
)
