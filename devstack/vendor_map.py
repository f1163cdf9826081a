"""Fetch what the map page needs from npm into ``ckanext/hdxjobs/public/hdxjobs``.

Run by hand when a version changes: ``.dev/venv/bin/python devstack/vendor_map.py``.
MapLibre GL JS is copied byte for byte (only the file endings change, because some
web servers do not know ``.mjs`` and browsers refuse modules of unknown type).
Natural Earth's land and borders come as TopoJSON from ``world-atlas`` and leave as
GeoJSON: ``land/world.json`` for the whole world and ``land/<column>-<row>.json``,
squares of 30 degrees with more detail, so that a visitor loads only those in view.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely
from shapely.affinity import translate
from shapely.geometry import MultiLineString, MultiPolygon, Polygon, box, mapping
from shapely.ops import unary_union

MAPLIBRE_VERSION = "6.17.0"
ATLAS_VERSION = "2.0.2"
PUBLIC = Path(__file__).parent.parent / "ckanext" / "hdxjobs" / "public" / "hdxjobs"

SQUARE_DEG = 30
#: Squares overlap by this much, or their edges would show as hairlines.
OVERLAP_DEG = 0.2
#: One decimal is 11 km, a pixel of the world map; two are 1.1 km, less than the data's own error.
WORLD_DECIMALS = 1
SQUARE_DECIMALS = 2

Arc = list[tuple[float, float]]


def unpack(name: str, version: str, folder: Path) -> Path:
    """Download a package with npm and unpack it; answers its folder."""
    subprocess.run(
        ["npm", "pack", "--silent", f"{name}@{version}", "--pack-destination", str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    target = folder / name
    with tarfile.open(folder / f"{name}-{version}.tgz") as archive:
        archive.extractall(target)
    return target / "package"


def copy_maplibre(package: Path) -> None:
    """The library, its worker, style sheet and licence, in a folder that names the version."""
    target = PUBLIC / f"maplibre-gl-{MAPLIBRE_VERSION}"
    for old in PUBLIC.glob("maplibre-gl-*"):
        shutil.rmtree(old)
    target.mkdir(parents=True)
    shutil.copy(package / "dist" / "maplibre-gl.mjs", target / "maplibre-gl.js")
    shutil.copy(package / "dist" / "maplibre-gl-worker.mjs", target / "maplibre-gl-worker.js")
    shutil.copy(package / "dist" / "maplibre-gl.css", target)
    shutil.copy(package / "LICENSE.txt", target)


def decode_arcs(topology: dict[str, Any]) -> list[Arc]:
    """TopoJSON's delta-coded integers as longitudes and latitudes."""
    (scale_x, scale_y), (move_x, move_y) = (topology["transform"][key] for key in ("scale", "translate"))
    arcs = []
    for deltas in topology["arcs"]:
        x = y = 0
        arc = []
        for dx, dy in deltas:
            x, y = x + dx, y + dy
            arc.append((x * scale_x + move_x, y * scale_y + move_y))
        arcs.append(arc)
    return arcs


def polygons(geometry: dict[str, Any]) -> Iterator[list[list[int]]]:
    """Each polygon of a TopoJSON geometry, as rings of arc numbers."""
    if geometry["type"] == "GeometryCollection":
        for member in geometry["geometries"]:
            yield from polygons(member)
    elif geometry["type"] == "Polygon":
        yield geometry["arcs"]
    elif geometry["type"] == "MultiPolygon":
        yield from geometry["arcs"]


def ring(arcs: list[Arc], numbers: list[int]) -> Arc:
    """Join arcs; a negative number means the arc runs backwards (``~number``)."""
    points: Arc = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        points += arc[1:] if points else arc
    return points


def unwound(points: Arc) -> Arc:
    """A ring without jumps from 180 to -180: longitudes run on beyond 180 instead.

    The ring around the South Pole comes out open, a whole turn long; it is closed along the pole.
    """
    turned: Arc = []
    turn = 0
    for longitude, latitude in points:
        step = longitude + turn - turned[-1][0] if turned else 0.0
        turn += -360 if step > 180 else 360 if step < -180 else 0
        turned.append((longitude + turn, latitude))
    if abs(turned[-1][0] - turned[0][0]) > 180:
        turned += [(turned[-1][0], -90.0), (turned[0][0], -90.0)]
    return turned


def flat(shell: Arc, holes: list[Arc]) -> list[Polygon]:
    """A polygon cut at the antimeridian, its pieces within -180 and 180."""
    whole = shapely.make_valid(Polygon(unwound(shell), [unwound(hole) for hole in holes]))
    pieces = []
    for turn in (-360, 0, 360):
        piece = whole.intersection(box(turn - 180, -90, turn + 180, 90))
        parts = [part for part in getattr(piece, "geoms", [piece]) if isinstance(part, Polygon)]
        pieces += [translate(part, xoff=-turn) for part in parts if part.area > 0]
    return pieces


def read_land(package: Path, scale: str) -> tuple[MultiPolygon, MultiLineString]:
    """Land as polygons, and the borders between countries: arcs that two countries share."""
    topology = json.loads((package / f"countries-{scale}.json").read_text())
    arcs = decode_arcs(topology)
    shapes = [
        piece
        for shell, *holes in polygons(topology["objects"]["land"])
        for piece in flat(ring(arcs, shell), [ring(arcs, hole) for hole in holes])
    ]
    users = Counter(
        number if number >= 0 else ~number
        for polygon in polygons(topology["objects"]["countries"])
        for numbers in polygon
        for number in numbers
    )
    borders = MultiLineString([arcs[number] for number, count in users.items() if count > 1])
    return MultiPolygon(shapes), borders


def rounded(coordinates: Any, decimals: int) -> Any:
    """Nested coordinates rounded, with repeated points left out."""
    if isinstance(coordinates[0], float):
        return [round(value, decimals) for value in coordinates]
    items = [rounded(item, decimals) for item in coordinates]
    return [item for index, item in enumerate(items) if index == 0 or item != items[index - 1]]


def write_geojson(path: Path, parts: dict[str, Any], decimals: int) -> None:
    """One feature for each part, told apart by its property ``kind``."""
    features = [
        {
            "type": "Feature",
            "properties": {"kind": kind},
            "geometry": {
                "type": shape.geom_type,
                "coordinates": rounded(mapping(shape)["coordinates"], decimals),
            },
        }
        for kind, shape in parts.items()
        if not shape.is_empty
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"))
    path.write_text(text + "\n")


def only(shape: Any, kind: type) -> Any:
    """The parts of a clipped shape that are of one kind; a cut may leave stray points or lines."""
    parts: list[Any] = [part for part in getattr(shape, "geoms", [shape]) if isinstance(part, kind)]
    return unary_union(parts)


def write_land(package: Path) -> None:
    """The world in one coarse file, and a finer file for each square that has land."""
    folder = PUBLIC / "land"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    land, borders = read_land(package, "110m")
    write_geojson(folder / "world.json", {"land": land, "borders": borders}, WORLD_DECIMALS)
    raw, borders = read_land(package, "50m")
    fine: Any = shapely.make_valid(raw)
    for column in range(360 // SQUARE_DEG):
        for row in range(180 // SQUARE_DEG):
            west, south = column * SQUARE_DEG - 180, row * SQUARE_DEG - 90
            square = box(west, south, west + SQUARE_DEG, south + SQUARE_DEG)
            wide = square.buffer(OVERLAP_DEG, join_style="mitre").intersection(box(-180, -90, 180, 90))
            parts = {
                "land": only(fine.intersection(wide), Polygon),
                "borders": only(borders.intersection(square), shapely.LineString),
            }
            # A square without land gets a file too, or the page would ask for it in vain.
            write_geojson(folder / f"{column}-{row}.json", parts, SQUARE_DECIMALS)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_maplibre(unpack("maplibre-gl", MAPLIBRE_VERSION, folder))
        write_land(unpack("world-atlas", ATLAS_VERSION, folder))


if __name__ == "__main__":
    main()
