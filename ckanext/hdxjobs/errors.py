"""Every way a preview can fail, in the words its publisher reads.

The tree::

    HdxJobsError
    +-- PreviewError           a preview could not be made; has code, message, advice
        +-- FetchError         the bytes could not be had
        +-- DetectError        the bytes are not geodata we read
        +-- LoadError          the geodata could not be put into PostGIS
        +-- PublishError       the loaded layers could not be served
        +-- Superseded         a newer upload or a deletion overtook this job (no error for the user)
    +-- NewerSchema            the map database was set up by a newer release

The class says where it broke; the *code* says what a user is told.  Codes are
rows of one table, ``FAILURES``: the only place with messages, so that docs,
translations and tests can walk it.  Placeholders in braces are filled from the
error's ``params``; whole numbers are written as the reader writes them.
"""

from __future__ import annotations

from typing import Any

from ckanext.hdxjobs.messages import ENGLISH, Failure, NoticeText, placeholders
from ckanext.hdxjobs.messages import N_ as N_

# Tables: one text a line, however long.
# fmt: off
_FAILURES = (
    Failure("not-geodata", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("This file does not contain geographic data that can be drawn on a map."),
        advice=N_("If it should, export it again, for example as GeoJSON, GeoPackage, KML or a zipped Shapefile, and replace the file.")),
    Failure("html-page", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("This is a web page, not a data file. Servers send one when a file moved or when one must log in first."),
        advice=N_("Open the link in a private window of a browser: it must download the file at once. Correct the link, or upload the file here.")),
    Failure("unsupported-format", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("This is {found}, which cannot become a map here."),
        advice=N_("If it holds places, roads or areas, export them as GeoJSON, GeoPackage, KML, CSV or a zipped Shapefile and upload that.")),
    Failure("format-off", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("This is a {format} file; on this portal such files do not become maps."),
        advice=N_("Upload the data in another format, or ask the portal's staff to switch this one on.")),
    Failure("unreadable", error_type="pushing-to-postgis-problem",
        message=N_("The file looks like {format}, but it is damaged or cut off: {reason}"),
        advice=N_("Open the file in the program that made it, export it again and replace the file here.")),
    Failure("bad-zip", error_type="pushing-to-postgis-problem",
        message=N_("The zip or gz file cannot be unpacked: {reason}"),
        advice=N_("Make the zip again without a password and without special tools, and replace the file here.")),
    Failure("unsafe-zip", error_type="pushing-to-postgis-problem",
        message=N_("The zip file was refused, because it holds an entry that is not allowed: {entry}"),
        advice=N_("Zip only the data files themselves, without links or folders outside the archive.")),
    Failure("zip-too-many-files", error_type="file-too-large",
        message=N_("The zip file holds more than {limit} files and folders."),
        advice=N_("Zip only the data files themselves, or split them into several zip files.")),
    Failure("zip-too-big", error_type="file-too-large",
        message=N_("Unpacked, the file has at least {found}; the limit is {limit}."),
        advice=N_("Split the data into smaller files, or ask the portal's staff to raise the limit.")),
    Failure("zip-bomb", error_type="file-too-large",
        message=N_("The packed file was refused, because a part of it unpacks to more than {ratio} times its size: {entry}"),
        advice=N_("If the data really is like that, upload it without zip, or in another format.")),
    Failure("zip-without-layers", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("The zip file holds no file that can be drawn on a map."),
        advice=N_("A zipped Shapefile needs at least its .shp, .shx, .dbf and .prj files. Add them and upload the zip again.")),
    Failure("packed-twice", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("The file holds another packed file, which is not opened: {entry}"),
        advice=N_("Unpack the inner file and upload what it holds, or zip all files directly into one zip.")),
    Failure("shapefile-incomplete", error_type="pushing-to-postgis-problem",
        message=N_("The Shapefile {name} cannot be drawn without its missing parts: {missing}"),
        advice=N_("Put all parts of the Shapefile (.shp, .shx, .dbf, .prj) with the same name into one zip and upload it again.")),
    Failure("mapinfo-incomplete", error_type="pushing-to-postgis-problem",
        message=N_("The MapInfo file {name} cannot be drawn without its missing parts: {missing}"),
        advice=N_("Put all parts of it (.tab, .dat, .map and .id, or .mif and .mid) with the same name into one zip and upload it again.")),
    Failure("no-coordinates", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("No column of the table says where its rows are. Its columns are: {columns}"),
        advice=N_("For a map, name two columns latitude and longitude, or name yours in the resource's form.")),
    Failure("column-missing", error_type="pushing-to-postgis-problem",
        message=N_("The resource names the column “{name}” for the map, but the table has no such column. Its columns are: {columns}"),
        advice=N_("Correct the name in the resource's form, or leave it empty to have the columns found.")),
    Failure("unknown-crs", error_type="pushing-to-postgis-problem",
        message=N_("The file does not say which coordinate system it uses, and its numbers are not longitudes and latitudes."),
        advice=N_("Add the coordinate system (for a Shapefile the .prj file), or export the data in WGS 84 (EPSG:4326).")),
    Failure("no-features", error_type="fetch-bounding-box-problem",
        message=N_("The file is well formed, but there is nothing in it: it has 0 features."),
        advice=N_("Check the export: a filter or an empty selection may have left everything out.")),
    Failure("no-geometry", error_type="fetch-bounding-box-problem",
        message=N_("Nothing in the file has a place on the map. Features or rows in it: {count}."),
        advice=N_("Export the data with its geometry, or with coordinates that are filled in.")),
    Failure("coordinates-out-of-range", error_type="fetch-bounding-box-problem",
        message=N_("The coordinates of “{layer}” cannot be on Earth, for example {example}."),
        advice=N_("Check that longitude comes before latitude and that the coordinate system named in the file is the one used.")),
    Failure("file-too-big", error_type="file-too-large",
        message=N_("The file has at least {found}; the limit for map previews is {limit}."),
        advice=N_("Visitors can still download it. For a map, upload a smaller or simplified version, or ask the portal's staff to raise the limit.")),
    Failure("too-many-features", error_type="file-too-large",
        message=N_("Features in the file: at least {found}. The limit for map previews is {limit}."),
        advice=N_("Visitors can still download it. For a map, split the file, or ask the portal's staff to raise the limit.")),
    Failure("too-many-vertices", error_type="file-too-large",
        message=N_("Corner points of the file's shapes, counted up to layer “{layer}”: about {found}. The limit for map previews is {limit}."),
        advice=N_("Visitors can still download it. For a map, simplify the shapes in a desktop GIS or split the file, or ask the portal's staff to raise the limit.")),
    Failure("table-too-big", error_type="file-too-large",
        message=N_("Space that the file's data takes in the map database, counted up to layer “{layer}”: at least {found}. The limit is {limit}."),
        advice=N_("Visitors can still download it. For a map, leave out columns with long texts or split the file, or ask the portal's staff to raise the limit.")),
    Failure("too-much-memory", error_type="file-too-large",
        message=N_("Reading the file needs more memory than the limit of {limit}."),
        advice=N_("Split the file or its largest shapes, or save it in a format that can be read piece by piece, such as GeoPackage or FlatGeobuf. The portal's staff can raise the limit.")),
    Failure("value-refused", error_type="pushing-to-postgis-problem",
        message=N_("The map database cannot hold a value of “{layer}” (row {row}, column “{column}”): {reason}"),
        advice=N_("Correct or remove this value, and replace the file here.")),
    Failure("link-not-found", error_type="missing-url",
        message=N_("The link answers that there is nothing there (HTTP {status})."),
        advice=N_("Open the link in a browser, correct the resource's URL and save.")),
    Failure("link-refused", error_type="missing-url",
        message=N_("The server behind the link does not let the file be downloaded (HTTP {status})."),
        advice=N_("Make the file public on that server, or upload it here.")),
    Failure("link-blocked", error_type="missing-url",
        message=N_("The link points to an address that this portal does not download from."),
        advice=N_("Use a public http or https address, or upload the file here.")),
    Failure("link-unreachable", retryable=True, error_type="timeout",
        message=N_("The server behind the link could not be reached, or failed to answer: {reason}"),
        advice=N_("This may pass by itself. If it does not, check the link in a browser or upload the file here.")),
    Failure("link-cut-off", retryable=True, error_type="timeout",
        message=N_("The download broke off: {received} of {expected} bytes came."),
        advice=N_("This may pass by itself. If it does not, ask the owner of the server, or upload the file here.")),
    Failure("file-missing", error_type="missing-url",
        message=N_("The uploaded file is not in the portal's storage."),
        advice=N_("Upload the file again. If that does not help, tell the portal's staff.")),
    Failure("file-unreadable", error_type="missing-url",
        message=N_("The uploaded file lies where the portal's workers are not allowed to read it."),
        advice=N_("Nothing is wrong with the file. Tell the portal's staff; the chapter \"Where uploads are kept\" of the manual says what workers need.")),
    Failure("storage-unavailable", retryable=True, error_type="timeout",
        message=N_("The portal's storage does not give out the uploaded file at the moment."),
        advice=N_("Nothing is wrong with the file; the preview will be tried again.")),
    Failure("empty-file", state="unsupported", error_type="pushing-to-postgis-problem",
        message=N_("The file is empty: it has 0 bytes."),
        advice=N_("Upload the file again.")),
    Failure("too-slow", error_type="timeout",
        message=N_("Reading the file took longer than the limit of {limit} seconds."),
        advice=N_("Upload a smaller or simplified version, or ask the portal's staff to raise the limit.")),
    Failure("reader-crashed", error_type="pushing-to-postgis-problem",
        message=N_("The program that reads {format} files broke down on this file."),
        advice=N_("Open the file in a desktop GIS, save it again, preferably as GeoJSON, and replace the file here.")),
    Failure("sandbox-missing", retryable=True, error_type="pushing-to-postgis-problem",
        message=N_("The portal cannot shut the reader of files off from the network, and is set up not to read files otherwise."),
        advice=N_("Nothing is wrong with the file; the preview will be tried again. Tell the portal's staff: \"ckan hdxjobs check\" shows what is missing.")),
    Failure("database-unavailable", retryable=True, error_type="pushing-to-postgis-problem",
        message=N_("The portal's map database does not answer at the moment."),
        advice=N_("Nothing is wrong with the file; the preview will be tried again.")),
    Failure("disk-full", retryable=True, error_type="pushing-to-postgis-problem",
        message=N_("The portal has no room left on its disk to work on this file."),
        advice=N_("Nothing is wrong with the file; the preview will be tried again. If this lasts, tell the portal's staff.")),
    Failure("interrupted", retryable=True, error_type="unknown",
        message=N_("The preview was interrupted before it was finished."),
        advice=N_("Nothing is wrong with the file; the preview will be tried again.")),
    Failure("internal", error_type="unknown",
        message=N_("The preview failed for a reason that this portal did not expect."),
        advice=N_("Tell the portal's staff; the worker's log names the reason under this resource's id.")),
)

FAILURES: dict[str, Failure] = {failure.code: failure for failure in _FAILURES}

_NOTICES = (
    NoticeText("no-geometry", N_("Features of “{layer}” without geometry, not on the map: {count} (for example {example}).")),
    NoticeText("out-of-range", N_("Features of “{layer}” with coordinates that cannot be on Earth, not on the map: {count} (for example {example}).")),
    NoticeText("parts-out-of-range", N_("Features of “{layer}” of which only some parts are on the map, because coordinates of the others cannot be on Earth: {count} (for example {example}).")),
    NoticeText("beyond-map", N_("Features of “{layer}” nearer to a pole than the map reaches (85 degrees), drawn at its edge: {count} (for example {example}).")),
    NoticeText("at-zero", N_("Rows of “{layer}” at latitude 0 and longitude 0, which often stands for a place that nobody knew, drawn there: {count} (for example {example}).")),
    NoticeText("coordinates-swapped", N_("The columns of “{layer}” for latitude and longitude have each other's values; they were swapped for the map.")),
    NoticeText("curves-drawn-straight", N_("Curves and surfaces of “{layer}” that the map draws with straight lines, as flat shapes: {count} (for example {example}).")),
    NoticeText("crs-assumed", N_("“{layer}” does not say which coordinate system it uses; its numbers look like longitude and latitude, so WGS 84 was assumed.")),
    NoticeText("z-dropped", N_("“{layer}” has heights or measures; the map shows it flat.")),
    NoticeText("encoding-guessed", N_("“{layer}” does not say which encoding its texts have; {example} was assumed. If letters look wrong, save the file again in UTF-8.")),
    NoticeText("shapefile-parts-missing", N_("The Shapefile of “{layer}” lacks parts: {example}. Without a .shx file it is read in the order of its .shp file, without a .dbf file it has no attributes.")),
    NoticeText("columns-dropped", N_("Columns of “{layer}” of a kind that the map cannot show: {count} (for example “{example}”).")),
    NoticeText("too-many-columns", N_("Columns of “{layer}”: {count}. The map shows the first {limit} of them; those from “{example}” on are left out.")),
    NoticeText("geometry-repaired", N_("Broken shapes of “{layer}” that were repaired for the map: {count} (for example {example}).")),
    NoticeText("geometry-unreadable", N_("Shapes of “{layer}” that cannot be read, not on the map: {count} (for example {example}).")),
    NoticeText("features-missing", N_("Features of “{layer}” that the file says it has, {limit} in all, but that cannot be found in it: {count}. It may be damaged.")),
    NoticeText("layer-damaged", N_("“{layer}” is not shown: it is damaged among its features. Open it in the program that made it, and export it again.")),
    NoticeText("attributes-left-out", N_("The usual reader broke on “{layer}”; another one made this map, which shows names and descriptions and leaves out other attributes. Try again, or export the file again in the program that made it.")),
    NoticeText("cancelled", N_("The portal's staff stopped the making of a newer map; this one was made before.")),
    NoticeText("layers-skipped", N_("Layers that are not shown: {count} (for example “{example}”).")),
)
# fmt: on

NOTICES: dict[str, NoticeText] = {notice.code: notice for notice in _NOTICES}


class HdxJobsError(Exception):
    """Root of this extension's errors."""


class PreviewError(HdxJobsError):
    """A preview could not be made.

    :param code: a key of ``FAILURES``
    :param params: values for the placeholders of its message; plain str or int
    """

    retry_after_s: int | None = None

    def __init__(self, code: str, **params: Any) -> None:
        self.failure = FAILURES[code]
        self.params = params
        missing = placeholders(self.failure.message) - params.keys()
        if missing:
            raise KeyError(*sorted(missing))
        super().__init__(ENGLISH.say(self.failure.message, params))

    @property
    def code(self) -> str:
        return self.failure.code


class FetchError(PreviewError):
    """The bytes could not be had.

    :param retry_after_s: seconds that the other side wants to be left alone
    """

    def __init__(self, code: str, *, retry_after_s: int | None = None, **params: Any) -> None:
        super().__init__(code, **params)
        self.retry_after_s = retry_after_s


class DetectError(PreviewError):
    """The bytes are not geodata we can read."""


class LoadError(PreviewError):
    """The geodata could not be put into PostGIS."""


class PublishError(PreviewError):
    """The loaded layers could not be served."""


class Superseded(HdxJobsError):
    """A newer upload or a deletion overtook this job; it cleans up and leaves quietly."""


class NewerSchema(HdxJobsError):
    """A newer release has set up the map database, and this one must not undo that.

    :param 0: the two versions and what to do, for administrators
    """


class PoolBusy(HdxJobsError):
    """No tile can be made right now (HTTP 503).

    :param 0: why, for the log: every connection is in use, or the map database is away or not set up
    """


class BadFilter(HdxJobsError):
    """A tile is asked for with options that its layer cannot fulfil (HTTP 400).

    :param 0: what is wrong with them, for whoever asked
    """
