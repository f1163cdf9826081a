"""Large files to load, made anew wherever they are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyogrio
import shapely

from devstack.paths import DEV

FOLDER = DEV / "bench"
POINTS, POLYGONS, ROWS = 1_000_000, 500_000, 200_000
#: A package of the npm registry: 250 countries, 8 million vertices, ODbL (OpenStreetMap).
COUNTRIES = "@geo-maps/countries-land-100m@0.6.0"


def all_files(scale: float = 1) -> dict[str, Path]:
    """Files by what they are called in the report.

    :param scale: of the numbers of features; below 1 without the countries
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    points, polygons, rows = (int(number * scale) for number in (POINTS, POLYGONS, ROWS))
    found = {
        f"{points:,} points, GeoJSON": _made(
            f"points-{points}.geojson", lambda path: _write(path, _points(points))
        ),
        f"{polygons:,} polygons, GeoJSON": _made(
            f"polygons-{polygons}.geojson", lambda path: _write(path, _polygons(polygons))
        ),
        "the same polygons, GeoPackage": _made(
            f"polygons-{polygons}.gpkg",
            lambda path: _geopackage(path, FOLDER / f"polygons-{polygons}.geojson"),
        ),
        f"{rows:,} rows, zipped Shapefile": _made(f"rows-{rows}.zip", lambda path: _shapefile(path, rows)),
    }
    if scale == 1:
        found["countries, GeoJSON of 8 M vertices"] = _made("countries.geojson", _countries)
    return found


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """A file that is whole, or not there."""
    path = FOLDER / name
    if not path.exists():
        half = FOLDER / f"half-{name}"
        half.unlink(missing_ok=True)
        make(half)
        half.rename(path)
    return path


def _write(path: Path, features: Iterator[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[\n')
        file.write(",\n".join(features))
        file.write("\n]}\n")


def _feature(properties: dict[str, object], kind: str, coordinates: str) -> str:
    geometry = f'{{"type":"{kind}","coordinates":{coordinates}}}'
    return f'{{"type":"Feature","properties":{json.dumps(properties)},"geometry":{geometry}}}'


def _points(count: int) -> Iterator[str]:
    chance = np.random.default_rng(1)
    places = zip(chance.uniform(-170, 170, count), chance.uniform(-80, 80, count), strict=True)
    for number, (lon, lat) in enumerate(places):
        properties = {
            "id": number,
            "name": f"place {number}",
            "value": number * 0.37,
            "kind": "abcd"[number % 4],
        }
        yield _feature(properties, "Point", f"[{lon:.6f},{lat:.6f}]")


def _polygons(count: int) -> Iterator[str]:
    chance = np.random.default_rng(2)
    places = zip(chance.uniform(-170, 170, count), chance.uniform(-70, 70, count), strict=True)
    corners = ((0, 0), (1, 0), (1.5, 0.5), (1, 1), (0, 1), (0, 0))
    for number, (lon, lat) in enumerate(places):
        ring = ",".join(f"[{lon + 0.001 * x:.6f},{lat + 0.001 * y:.6f}]" for x, y in corners)
        yield _feature(
            {"id": number, "name": f"parcel {number}", "area": number * 0.11}, "Polygon", f"[[{ring}]]"
        )


def _geopackage(path: Path, source: Path) -> None:
    meta, table = pyogrio.read_arrow(source)
    pyogrio.write_arrow(
        table, path, driver="GPKG", layer="polygons", crs=meta["crs"], geometry_type="Polygon",
        geometry_name=meta["geometry_name"] or "wkb_geometry",
    )  # fmt: skip


def _shapefile(path: Path, count: int) -> None:
    chance = np.random.default_rng(3)
    east, north = chance.uniform(200_000, 800_000, count), chance.uniform(9_000_000, 9_900_000, count)
    shapes = shapely.to_wkb(shapely.box(east, north, east + 40, north + 60))
    fields = [
        np.arange(count, dtype="int32"),
        np.array([f"house {number}" for number in range(count)], dtype=object),
    ]
    folder = path.with_suffix(".parts")
    folder.mkdir(exist_ok=True)
    pyogrio.raw.write(
        folder / "houses.shp", shapes, fields, ["number", "name"], crs="EPSG:32737", geometry_type="Polygon",
        driver="ESRI Shapefile",
    )  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, part.name)
    shutil.rmtree(folder)


def _countries(path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("the countries come from the npm registry: install npm")
    done = subprocess.run(
        [npm, "pack", "--silent", COUNTRIES], cwd=FOLDER, check=True, capture_output=True, text=True
    )
    packed = FOLDER / done.stdout.split()[-1]
    with tarfile.open(packed) as archive, path.open("wb") as file:
        member = archive.extractfile("package/map.geo.json")
        assert member is not None
        shutil.copyfileobj(member, file)
    packed.unlink()
