"""The child process that parses a file: one GDAL driver, under limits, without secrets.

Started by ``reader`` as ``python -I -m ckanext.hdxjobs.geopreview.parser``.  A
set-up and then requests come as lines of JSON on standard input; each report
leaves as a line of JSON on the descriptor that the set-up names, features leave
as an Arrow IPC stream on standard output.  Nothing here trusts the file, and
nothing outside trusts this process.

GDAL is loaded only after all of its vector drivers but one were switched off:
a VRT, a WFS description or a connection string is then just a file that the one
driver refuses.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

from ckanext.hdxjobs.geopreview import cage

#: Vector drivers of the GDAL builds that pyogrio ships and that distributions ship (3.4 to 3.12).
_DRIVER_NAMES = (
    "ADBC,AIVector,ARCGEN,AVCBin,AVCE00,AmigoCloud,Arrow,Aeronav,BAG,BNA,CAD,CSV,CSW,Carto,Cloudant,"
    "CouchDB,DGN,DODS,DWG,DXF,EDIGEO,EEDA,ESRI Shapefile,ESRIJSON,ElasticSearch,Elasticsearch,FileGDB,"
    "FlatGeobuf,GDALG,GML,GMLAS,GPKG,GPSBabel,GPSTrackMaker,GPX,GRASS,GTFS,GTM,Geoconcept,GeoJSON,"
    "GeoJSONSeq,GeoRSS,HANA,HTF,HTTP,IDB,INGRES,Idrisi,Interlis 1,Interlis 2,JML,JSONFG,JP2ECW,JP2KAK,"
    "JP2OpenJPEG,KML,KMLSuperOverlay,LIBKML,LVBAG,MBTiles,MEM,MSSQLSpatial,MVT,MapInfo File,MapML,Memory,"
    "MiraMonVector,MongoDBv3,MySQL,NAS,NGW,NTF,OAPIF,OCI,ODBC,ODS,OGCAPI,OGR_GMT,OGR_OGDI,OGR_PDS,"
    "OGR_SDE,OGR_VRT,OSM,OpenAir,OpenFileGDB,OpenJPEG,PCIDSK,PDF,PDS4,PGDUMP,PGeo,PLSCENES,PMTiles,"
    "Parquet,PostgreSQL,REC,S57,SEGUKOOA,SEGY,SOSI,SQLite,SUA,SVG,SXF,Selafin,TIGER,TopoJSON,UK .NTF,VDV,"
    "VFK,VICAR,VRT,WAsP,WFS,WFS3,Walk,XLS,XLSX,XPlane,netCDF"
)
KNOWN_DRIVERS = _DRIVER_NAMES.split(",")

#: Bytes of geometry after which GDAL ends a batch early.
BATCH_BYTES = 512 * 1024**2

#: Bytes that this process may write to a file; it needs only its error log.
MAX_FILE_BYTES = 1024**2
MAX_OPEN_FILES = 64
#: Requests of a conversation that may each take all the time there is: to describe, and to stream.
SLOW_REQUESTS = 2


class RefusalError(Exception):
    """The file cannot be read; becomes the parent's error of the same code."""

    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


def main() -> None:
    """Take the set-up, then answer request after request until there are no more."""
    setup = json.loads(sys.stdin.buffer.readline())
    report_to = os.fdopen(int(setup["report_fd"]), "w", encoding="utf-8")
    # Batches are arrays of hundreds of thousands of objects without cycles, and the process is short-lived.
    gc.disable()
    for report in _reports(setup):
        with contextlib.suppress(BrokenPipeError):
            report_to.write(json.dumps(report) + "\n")
            report_to.flush()
    leave()


def _reports(setup: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One for each request; a refusal is the last."""
    try:
        walls = lock_down(setup)
        answers = conversation(setup, walls)
        next(answers)
        for line in sys.stdin.buffer:
            yield answers.send(json.loads(line))
    except RefusalError as refusal:
        yield {"error": {"code": refusal.code, "params": refusal.params}}


def leave() -> NoReturn:
    """End without running the libraries' destructors: all is said, and a hostile file may have bent them."""
    sys.stdout.flush()
    os._exit(0)


def lock_down(setup: dict[str, Any]) -> dict[str, str]:
    """Go into the cage, before anything is loaded that could be turned against us.

    :returns: the walls of the cage, see ``cage.close``
    """
    walls = cage.close(
        cage.Cage(
            folder=str(Path(setup["path"]).parent),
            memory_bytes=setup["memory_bytes"],
            cpu_s=math.ceil(setup["timeout_s"]) * SLOW_REQUESTS + 5,
            file_bytes=MAX_FILE_BYTES,
            open_files=MAX_OPEN_FILES,
            walls=setup["sandbox"] != "off",
        ),
        parent_pid=setup["parent_pid"],
    )
    if setup["sandbox"] == "require" and not cage.is_offline(walls):
        raise RefusalError("sandbox-missing")
    return walls


def conversation(
    setup: dict[str, Any], walls: dict[str, str]
) -> Generator[dict[str, Any], dict[str, Any], None]:
    """The file's answers: each request that is sent in gives the next one; a refusal is the last."""
    pyogrio = load_gdal(setup["driver"], setup["encoding"])
    from ckanext.hdxjobs.geopreview import parsing  # noqa: PLC0415 (it loads GDAL's Python side)
    from ckanext.hdxjobs.geopreview.formats import FORMATS, copied  # noqa: PLC0415
    from ckanext.hdxjobs.geopreview.values import Coordinates  # noqa: PLC0415

    path, label = Path(setup["path"]), setup["format"]
    format_ = copied(FORMATS[label]) if setup["is_copy"] else FORMATS[label]
    file = parsing.File(path, format_, Coordinates(**setup["coordinates"]))
    report: dict[str, Any] = {}
    while True:
        request = yield report
        try:
            if request["verb"] == "introduce":
                report = {"walls": walls, "gdal": pyogrio.__gdal_version_string__}
            elif request["verb"] == "inspect":
                report = file.inspect()
            else:
                report = file.stream(request["layer"], sys.stdout.buffer)
                sys.stdout.flush()
        except parsing.UnfitError as unfit:
            raise RefusalError(unfit.code, **unfit.params) from unfit
        except BrokenPipeError:
            leave()
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, *parsing.READ_ERRORS) as error:
            raise refusal(error, path=path, label=label) from error


def load_gdal(driver: str, encoding: str | None) -> Any:
    """Import pyogrio with one vector driver, and refuse to go on with more.

    :param encoding: of a Shapefile's texts, where it is known better than GDAL would guess
    """
    os.environ["OGR_SKIP"] = ",".join(name for name in KNOWN_DRIVERS if name != driver)
    os.environ["OGR_ARROW_MEM_LIMIT"] = str(BATCH_BYTES)
    if encoding:
        os.environ["SHAPE_ENCODING"] = encoding
    import pyogrio  # noqa: PLC0415 (the environment must be set first)

    others = set(pyogrio.list_drivers()) - {driver}
    if others:
        message = f"drivers that should be off are on: {sorted(others)}"
        raise RuntimeError(message)
    return pyogrio


def refusal(error: Exception, *, path: Path, label: str) -> RefusalError:
    """GDAL's complaint in words that name no path of this machine."""
    text = str(error)
    if "not recognized as being in a supported file format" in text:
        return RefusalError("not-geodata")
    if "does not fit the OGR model" in text:
        # A KML of network links, overlays or styles only.
        return RefusalError("no-features")
    reason = text.replace(str(path), path.name).replace(str(path.parent), "").strip()[:300]
    return RefusalError("unreadable", format=label, reason=reason or type(error).__name__)


if __name__ == "__main__":
    main()
