"""Which columns of a table say where its rows are: names in many languages, HXL tags, the publisher's word.

Pure: names and a few values in, column numbers out.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ckanext.hdxjobs.geopreview.values import Coordinates


@dataclass(frozen=True)
class Found:
    """Numbers of columns: a pair, one of "latitude, longitude", or one of whole geometries.

    :ivar stated: the columns are called latitude and longitude, so that their numbers are degrees
    """

    latitude: int | None = None
    longitude: int | None = None
    both: int | None = None
    geometry: int | None = None
    stated: bool = True


class ColumnMissingError(Exception):
    """The publisher named a column that is not there."""


# Each name is asked for by several rules, and each row above a table may be the one of names.
@functools.lru_cache(maxsize=2**15)
def words(name: str) -> tuple[str, ...]:
    """A name in words: without accents, lower case, parted at signs and at capitals."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    bare = "".join(c for c in unicodedata.normalize("NFKD", parted) if not unicodedata.combining(c))
    plain = unicodedata.normalize("NFC", bare).replace("_", " ").lower()
    return tuple(re.findall(r"\w+", plain.replace("ł", "l").replace("ß", "ss")))


def _known(listed: str) -> frozenset[str]:
    return frozenset("".join(words(word)) for word in listed.split())


#: Words for latitude and longitude in names of columns, without accents, lower case.
LATITUDE = _known(
    "lat latitude latitud latitudine latitudes latdd latdec latitudedd breite breitengrad szerokosc enlem lintang "
    "leveysaste bredd breddegrad zemepisnasirka shirina широта шырата географическаяширота 纬度 緯度 위도 अक्षांश"
)
LONGITUDE = _known(
    "lon lng long longitude longitud longitudine longitudes londd lngdd longdd londec longdec longitudedd lange laenge "
    "langengrad laengengrad dlugosc boylam bujur pituusaste langd lengdegrad долгота даугата географическаядолгота "
    "经度 經度 경도 देशांतर"
)
#: The same in Arabic, of two words.
LATITUDE_PHRASES = ("خط العرض", "دائرة العرض", "خط عرض")
LONGITUDE_PHRASES = ("خط الطول", "خط طول")
#: Names of pairs whose numbers may be anything.
PLAIN_PAIRS = (
    ("y", "x"), ("ycoord", "xcoord"), ("coordy", "coordx"), ("coordenaday", "coordenadax"), ("pointy", "pointx"),
    ("ywgs84", "xwgs84"), ("ywgs", "xwgs"), ("ylat", "xlong"), ("gpsy", "gpsx"), ("northing", "easting"), ("north", "east"),
    ("norte", "este"), ("nord", "est"), ("ycoordinate", "xcoordinate"), ("cy", "cx"), ("centroidy", "centroidx"),
)  # fmt: skip
BOTH = _known(
    "location coordinates coordinate coords coord gps gpslocation gpscoordinates latlon latlong latlng latitudelongitude "
    "geopoint geopoint2d geolocation position geo point coordenadas coordonnees koordinaten координаты الإحداثيات 坐标"
)
GEOMETRY = _known(
    "wkt geom geometry thegeom shape wktgeometry geomwkt geometrywkt geometria geometrie wkb wkbgeometry ewkt ewkb geojson "
    "polygon geoshape"
)

_PAIR = re.compile(
    r"^\W*[-+]?\d{1,3}([.]\d+)?°?\s*[,;\s]\s*[-+]?\d{1,3}([.]\d+)?°?(\s+[-+]?\d+([.]\d+)?){0,2}\W*$"
)
_GEOMETRY = re.compile(
    r"^\s*((SRID=\d+;)?\s*(MULTI)?(POINT|LINESTRING|POLYGON|GEOMETRYCOLLECTION|CURVE|SURFACE)\s*(Z|M|ZM)?\s*(\(|EMPTY)"
    r'|0[01][0-9A-F]{40,}$|\{\s*"(type|coordinates|geometries)")',
    re.IGNORECASE,
)


def find(names: Sequence[str], samples: Sequence[Sequence[str]], named: Coordinates) -> Found | None:
    """The columns that say where rows are, or None.

    :param samples: texts of the first rows, by column; empty ones left out
    :param named: what the publisher says
    :raises ColumnMissingError: with the name of a column that is not there
    """
    if named.is_set:
        return _named(names, samples, named)
    return (
        _by_tags(samples)
        or _by_words(names)
        or _by_geometry(names, samples)
        or _by_pair(names, samples)
        or _by_plain_names(names)
    )


def _named(names: Sequence[str], samples: Sequence[Sequence[str]], named: Coordinates) -> Found:
    if named.geometry:
        place = _place(names, named.geometry)
        return Found(both=place) if _mostly(_PAIR.match, samples[place]) else Found(geometry=place)
    return Found(_place(names, named.latitude), _place(names, named.longitude))


def _place(names: Sequence[str], wanted: str) -> int:
    """A column by its name, by letter case only if nothing else decides."""
    if wanted in names:
        return names.index(wanted)
    for place, name in enumerate(names):
        if name.strip().casefold() == wanted.casefold():
            return place
    raise ColumnMissingError(wanted)


def _by_tags(samples: Sequence[Sequence[str]]) -> Found | None:
    """HXL (https://hxlstandard.org): a row of tags under the header."""
    tags = [re.sub(r"\s", "", column[0]).lower() if column else "" for column in samples]

    def tagged(attribute: str) -> int | None:
        return next(
            (n for n, tag in enumerate(tags) if tag.startswith("#geo") and attribute in tag.split("+")), None
        )

    latitude, longitude, both = tagged("lat"), tagged("lon"), tagged("coord")
    if latitude is not None and longitude is not None:
        return Found(latitude, longitude)
    return Found(both=both) if both is not None else None


def _by_words(names: Sequence[str]) -> Found | None:
    """The pair whose names say latitude and longitude with the fewest other words, and the same ones."""
    split = [words(name) for name in names]
    latitudes = [
        (n, rest)
        for n, found in enumerate(split)
        for rest in _rest(found, names[n], LATITUDE, LATITUDE_PHRASES)
    ]
    longitudes = [
        (n, rest)
        for n, found in enumerate(split)
        for rest in _rest(found, names[n], LONGITUDE, LONGITUDE_PHRASES)
    ]
    pairs = _alike(latitudes, longitudes) or _plainest(latitudes, longitudes)
    if not pairs:
        return None
    _, latitude, longitude = min(pairs)
    return Found(latitude, longitude)


#: A column whose name says one of the words, and what else it says.
_Named = tuple[int, tuple[str, ...]]


def _alike(latitudes: Sequence[_Named], longitudes: Sequence[_Named]) -> list[tuple[int, int, int]]:
    """Pairs whose names say the same else: (words, latitude, longitude)."""
    by_rest: dict[tuple[str, ...], int] = {}
    for other, rest in longitudes:
        by_rest.setdefault(rest, other)
    return [
        (2 * len(rest), number, by_rest[rest])
        for number, rest in latitudes
        if by_rest.get(rest, number) != number
    ]


def _plainest(latitudes: Sequence[_Named], longitudes: Sequence[_Named]) -> list[tuple[int, int, int]]:
    """Pairs of the plainest names; two of each, for a name may say both words.  A table may have thousands."""
    left, right = (sorted((len(rest), n) for n, rest in each)[:2] for each in (latitudes, longitudes))
    return [(some + more, number, other) for some, number in left for more, other in right if number != other]


def _rest(
    found: tuple[str, ...], name: str, known: frozenset[str], phrases: Iterable[str]
) -> list[tuple[str, ...]]:
    """What else a name says beside the word; nothing where it does not say the word."""
    whole = "".join(found)
    if whole in known or any(phrase in name for phrase in phrases):
        return [()]
    return [tuple(other for other in found if other != word) for word in found if word in known][:1]


def _by_geometry(names: Sequence[str], samples: Sequence[Sequence[str]]) -> Found | None:
    for number, name in enumerate(names):
        if ("".join(words(name)) in GEOMETRY or GEOMETRY & set(words(name))) and _mostly(
            _GEOMETRY.match, samples[number]
        ):
            return Found(geometry=number)
    return None


def _by_pair(names: Sequence[str], samples: Sequence[Sequence[str]]) -> Found | None:
    for number, name in enumerate(names):
        if ("".join(words(name)) in BOTH or BOTH & set(words(name))) and _mostly(
            _PAIR.match, samples[number]
        ):
            return Found(both=number)
    return None


def _by_plain_names(names: Sequence[str]) -> Found | None:
    joined = ["".join(words(name)) for name in names]
    for north, east in PLAIN_PAIRS:
        if north in joined and east in joined:
            return Found(joined.index(north), joined.index(east), stated=False)
    return None


def _mostly(fits: Callable[[str], object], sample: Sequence[str]) -> bool:
    return bool(sample) and sum(bool(fits(text)) for text in sample) * 2 > len(sample)
