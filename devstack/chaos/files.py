"""Small geodata files whose names tell what must be found in PostGIS."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

#: Of a file that takes a moment, so that something can happen meanwhile.
LONG = 20_000
_NAME = re.compile(r"(?:^|/)m(\d+)-n(\d+)\.[a-z]+$")


@dataclass(frozen=True)
class File:
    name: str
    format: str
    content: bytes


@dataclass(frozen=True)
class Content:
    """What a file holds.

    :ivar mark: the value of "mark" of each of its features, different in each file
    :ivar count: of features; 0: it is broken
    """

    mark: int
    count: int


def make(mark: int, chance: random.Random) -> File:
    """One of many kinds: one in four is long, one in eight broken."""
    count = LONG if chance.random() < 1 / 4 else chance.randint(1, 60)
    if chance.random() < 1 / 8:
        return File(f"m{mark}-n0.geojson", "GeoJSON", chance.choice(BROKEN)(Content(mark, count)))
    format_, ending, write = chance.choice(KINDS)
    return File(f"m{mark}-n{count}.{ending}", format_, write(Content(mark, count)))


def long(mark: int) -> File:
    """One that takes a moment."""
    content = Content(mark, LONG)
    return File(f"m{mark}-n{LONG}.geojson", "GeoJSON", _geojson(content))


def short(mark: int) -> File:
    """One that is made at once."""
    return File(f"m{mark}-n3.geojson", "GeoJSON", _geojson(Content(mark, 3)))


def broken(mark: int) -> File:
    """One that ends in the middle."""
    return File(f"m{mark}-n0.geojson", "GeoJSON", _cut_off(Content(mark, 60)))


def content_of(url: str) -> Content | None:
    """What is in the file at an address; None: it is none of ours."""
    found = _NAME.search(url)
    return Content(int(found[1]), int(found[2])) if found else None


def _places(content: Content) -> list[tuple[float, float]]:
    return [(number % 140 - 70, number % 90 - 45) for number in range(content.count)]


def _geojson(content: Content) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"mark": content.mark},
            "geometry": {"type": "Point", "coordinates": place},
        }
        for place in _places(content)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _kml(content: Content) -> bytes:
    data = f'<ExtendedData><Data name="mark"><value>{content.mark}</value></Data></ExtendedData>'
    placemarks = "".join(
        f"<Placemark>{data}<Point><coordinates>{lon},{lat}</coordinates></Point></Placemark>"
        for lon, lat in _places(content)
    )
    start = '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
    return f"{start}{placemarks}</Document></kml>".encode()


def _zipped_csv(content: Content) -> bytes:
    rows = "".join(f"{content.mark},{lat},{lon}\n" for lon, lat in _places(content))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("places.csv", f"mark,latitude,longitude\n{rows}")
    return buffer.getvalue()


def _cut_off(content: Content) -> bytes:
    whole = _geojson(content)
    return whole[: len(whole) // 2]


def _nowhere(content: Content) -> bytes:
    """It is loaded before anybody sees that nothing of it is on earth."""
    place = {"type": "Point", "coordinates": [5_000_000, 7_000_000]}
    feature = {"type": "Feature", "properties": {"mark": content.mark}, "geometry": place}
    return json.dumps({"type": "FeatureCollection", "features": [feature] * content.count}).encode()


def _no_map(_content: Content) -> bytes:
    return b"This is no map."


KINDS: tuple[tuple[str, str, Callable[[Content], bytes]], ...] = (
    ("GeoJSON", "geojson", _geojson),
    ("KML", "kml", _kml),
    ("CSV", "zip", _zipped_csv),
)
BROKEN = (_cut_off, _no_map, _nowhere)
