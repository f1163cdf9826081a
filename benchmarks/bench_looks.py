"""What visitors see beside what there is: ./dev bench looks draws docs/images/tiles-*.png.

Above, the tiles that are sent, with nothing but what is in them; below, every vertex of every feature.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import shapely
from PIL import Image, ImageDraw, ImageFont

from benchmarks import tile_files
from benchmarks.bench_tiles import FULL
from benchmarks.databases import as_admin, run, scratch
from benchmarks.tile_files import Wanted
from benchmarks.tile_walk import HALF_WORLD_M, Place
from devstack.paths import ROOT
from devstack.steps import step

FOLDER = ROOT / "docs" / "images"
#: Layers, each with the place that is looked at, in degrees (longitude, latitude).
LOOKS = {"points-100k": None, "squares": None, "countries": (36.9, -1.4), "coastlines": (10.4, 63.5)}
ZOOMS = (0, 3, 6, 9, 12)
EXTENT = 4096
#: Pixels of a tile on the picture, and how much finer it is drawn first.
SIDE_PX, FINER = 256, 3
GAP_PX, LABEL_PX = 8, 20
PAPER, FILL, LINE, TEXT = (250, 250, 247), (168, 205, 190), (20, 110, 80), (60, 60, 60)


def main(arguments: list[str]) -> None:
    for wanted in FULL:
        if wanted.name not in LOOKS or (arguments and wanted.name not in arguments):
            continue
        with step(wanted.title) as it, scratch() as (loader, _):
            picture = look(wanted, loader)
            path = FOLDER / f"tiles-{wanted.name}.png"
            picture.quantize(64).save(path, optimize=True)
            it.note(f"{path.relative_to(ROOT)}, {path.stat().st_size / 1e3:.0f} kB")


def look(wanted: Wanted, loader: str) -> Image.Image:
    """Five zooms of a layer, as it is sent and as it is."""
    file = tile_files.path(wanted, as_admin(loader))
    command = [sys.executable, "-m", "benchmarks.one_import", str(file), loader, wanted.name]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    (layer_id,) = json.loads(done.stdout)["layers"]
    ((table,),) = run(loader, "SELECT table_name FROM hdxjobs.layer")
    middle = LOOKS[wanted.name] or _crowd(loader, table)
    columns = len(ZOOMS)
    size = (columns * (SIDE_PX + GAP_PX) + GAP_PX, 2 * (SIDE_PX + LABEL_PX + GAP_PX) + GAP_PX)
    picture = Image.new("RGB", size, (255, 255, 255))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    for number, zoom in enumerate(ZOOMS):
        place = _tile_at(middle, zoom)
        mvt, dropped = run(
            loader, "SELECT mvt, dropped FROM hdxjobs.tile_v2(%s, 1, %s, %s, %s)", layer_id, *place
        )[0]
        shapes = list(_everything(loader, table, place))
        x = GAP_PX + number * (SIDE_PX + GAP_PX)
        rows = (
            (
                _drawn(_sent(bytes(mvt))),
                f"zoom {zoom}: {len(mvt) / 1e3:.0f} kB" + f", {dropped} left out" * bool(dropped),
            ),
            (
                _drawn((shape, 1) for shape in shapes),
                f"all: {shapely.get_num_coordinates(shapes).sum():,} vertices",
            ),
        )
        for row, (tile, label) in enumerate(rows):
            y = GAP_PX + row * (SIDE_PX + LABEL_PX + GAP_PX)
            picture.paste(tile, (x, y))
            pen.text((x, y + SIDE_PX + 2), label, fill=TEXT, font=font)
    return picture


def _crowd(loader: str, table: str) -> tuple[float, float]:
    """Where most features are, in degrees."""
    ((lon, lat),) = run(
        loader,
        "SELECT ST_X(p), ST_Y(p) FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint(x * 20000, y * 20000), 3857), 4326) AS p"
        " FROM (SELECT round(ST_X(c) / 20000) AS x, round(ST_Y(c) / 20000) AS y"
        f" FROM (SELECT ST_Centroid(hdx_geom) AS c FROM hdxjobs.{table}) AS centre) AS cell"
        " GROUP BY x, y ORDER BY count(*) DESC, x, y LIMIT 1) AS most",
    )
    return lon, lat


def _tile_at(lonlat: tuple[float, float], zoom: int) -> Place:
    lon, lat = lonlat
    across = (lon + 180) / 360
    down = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2
    return zoom, int(across * 2**zoom), int(down * 2**zoom)


def _sent(mvt: bytes) -> Iterator[tuple[Any, int]]:
    """The features of a tile in its coordinates, down from its upper left corner, each with whom it counts."""
    layers = mapbox_vector_tile.decode(mvt, default_options={"y_coord_down": True}) if mvt else {}
    for feature in layers.get("layer", {}).get("features", []):
        yield shapely.geometry.shape(feature["geometry"]), feature["properties"].get("point_count", 1)


def _everything(loader: str, table: str, place: Place) -> Iterator[Any]:
    """All features whose box meets the tile, in its coordinates, nothing simplified."""
    zoom, x, y = place
    width = 2 * HALF_WORLD_M / 2**zoom
    west, north = -HALF_WORLD_M + x * width, HALF_WORLD_M - y * width
    statement = (
        "SELECT ST_AsBinary(ST_Affine(hdx_geom, %s, 0, 0, %s, %s, %s))"
        f" FROM hdxjobs.{table} WHERE hdx_geom && ST_TileEnvelope(%s, %s, %s)"
    )
    scale = EXTENT / width
    for (wkb,) in run(loader, statement, scale, -scale, -west * scale, north * scale, *place):
        yield shapely.from_wkb(bytes(wkb))


def _drawn(features: Any) -> Image.Image:
    side = SIDE_PX * FINER
    tile = Image.new("RGB", (side, side), PAPER)
    pen = ImageDraw.Draw(tile)
    scale = side / EXTENT
    for shape, count in features:
        for part in shapely.get_parts(shape):
            _draw(pen, part, scale, count)
    return tile.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)


def _draw(pen: ImageDraw.ImageDraw, part: Any, scale: float, count: int) -> None:
    if part.geom_type == "Point":
        x, y = part.x * scale, part.y * scale
        radius = FINER * (0.9 + 0.35 * math.log10(count))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=LINE)
    elif part.geom_type == "LineString":
        pen.line(_pixels(part, scale), fill=LINE, width=FINER)
    elif part.geom_type == "Polygon":
        for ring, fill in ((part.exterior, FILL), *((hole, PAPER) for hole in part.interiors)):
            pixels = _pixels(ring, scale)
            pen.polygon(pixels, fill=fill)
            pen.line([*pixels, pixels[0]], fill=LINE, width=max(1, FINER // 2))


def _pixels(line: Any, scale: float) -> list[tuple[float, float]]:
    return [(x * scale, y * scale) for x, y in shapely.get_coordinates(line).tolist()]


if __name__ == "__main__":
    main(sys.argv[1:])
