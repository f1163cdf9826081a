"""What the cases are built with."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely

#: Three towns: longitude, latitude, name.
TOWNS = ((36.8, -1.3, "Nairobi"), (37.1, -1.0, "Thika"), (36.1, -0.3, "Nakuru"))


@dataclass(frozen=True)
class Case:
    """An odd file.

    :ivar name: what is odd about it
    :ivar content: its bytes, or what makes them
    :ivar outcome: what must become of it
    :ivar file_name: as its publisher calls it
    """

    name: str
    content: bytes | Callable[[], bytes]
    outcome: str
    file_name: str = "file"

    def bytes(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()


def point(lon: Any, lat: Any) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def shape(kind: str, coordinates: Any) -> dict[str, Any]:
    return {"type": kind, "coordinates": coordinates}


def collection(*features: Any, **members: Any) -> bytes:
    return json.dumps({"type": "FeatureCollection", **members, "features": features}).encode()


def towns(**members: Any) -> bytes:
    return collection(*(feature(point(lon, lat), name=name) for lon, lat, name in TOWNS), **members)


def one(geometry: Any, **properties: Any) -> bytes:
    """A collection of one feature."""
    return collection(feature(geometry, **properties))


def text(content: str, encoding: str = "utf-8") -> bytes:
    return content.encode(encoding)


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def kml(body: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>') -> str:
    return f'{head}<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{body}</Document></kml>'


def placemark(name: str, geometry: str) -> str:
    return f"<Placemark><name>{name}</name>{geometry}</Placemark>"


def kml_point(coordinates: str) -> str:
    return f"<Point><coordinates>{coordinates}</coordinates></Point>"


def written(
    driver: str,
    suffix: str,
    *,
    geometries: Iterable[Any] | None = None,
    fields: dict[str, Any] | None = None,
    kind: str = "Point",
    crs: str | None = "EPSG:4326",
    **options: Any,
) -> dict[str, bytes]:
    """A file that GDAL writes, with all its parts, by their endings (or paths below a folder)."""
    shapes = list(
        geometries if geometries is not None else (shapely.Point(lon, lat) for lon, lat, _ in TOWNS)
    )
    columns = fields if fields is not None else {"name": np.array([town[2] for town in TOWNS], dtype=object)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made{suffix}"
        pyogrio.raw.write(
            path, np.array(shapely.to_wkb(np.array(shapes, dtype=object)), dtype=object), list(columns.values()),
            list(columns), geometry_type=kind, crs=crs, driver=driver, **options,
        )  # fmt: skip
        found = sorted(each for each in Path(folder).rglob("*") if each.is_file())
        return {str(each.relative_to(folder)): each.read_bytes() for each in found}


def shapefile(**options: Any) -> dict[str, bytes]:
    """The parts of a Shapefile by their endings."""
    return {
        f".{name.rpartition('.')[2]}": part
        for name, part in written("ESRI Shapefile", ".shp", **options).items()
    }


def shapefile_zip(stem: str = "towns", *, without: Iterable[str] = (), **options: Any) -> bytes:
    parts = shapefile(**options)
    return zipped({stem + suffix: part for suffix, part in parts.items() if suffix not in without})


def single(driver: str, suffix: str, **options: Any) -> bytes:
    """A format of one file."""
    return written(driver, suffix, **options)[f"made{suffix}"]


def workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    """An XLSX file with these rows, as ISO/IEC 29500 has it: no more parts than it needs."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    numbers = range(1, len(sheets) + 1)
    entries = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" '
            'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
            for n in numbers
        )
        + "</Types>",
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{head}<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{head}<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in numbers
        )
        + "</Relationships>",
    }
    for n, rows in enumerate(sheets.values(), 1):
        body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        entries[f"xl/worksheets/sheet{n}.xml"] = (
            f'{head}<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>'
        )
    return zipped({name: content.encode() for name, content in entries.items()})


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
    return f"<c><v>{value}</v></c>"
