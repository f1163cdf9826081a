"""Formats of several files: which files of an archive belong together, in any letter case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

#: Endings of the files that belong to a main file of the same name.  Indexes and metadata do not count:
#: the driver does without them, and they are one more thing to be wrong.
PARTS = {
    "Shapefile": (".shx", ".dbf", ".prj", ".cpg"),
    "MapInfo": (".dat", ".map", ".id", ".dbf", ".mid"),
}
#: Formats of several files; a bare .shp is drawn, with a warning.
PACKED_ONLY = frozenset({*PARTS, "FileGDB"})
#: The first table of each file geodatabase, and those of its files that hold data.
_FIRST_TABLE = "a00000001.gdbtable"
_TABLE = re.compile(r"a[0-9a-f]{8}\.gdbtabl[ex]|gdb|timestamps")


class Sets:
    """The files of an archive by name, seen as sets."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._spellings: dict[str, list[str]] = {}
        for name in paths:
            self._spellings.setdefault(name.lower(), []).append(name)

    def parts(self, name: str, format_: str) -> dict[str, Path]:
        """The other files of a main file's set by their endings; letter case matters only where two would fit."""
        stem = str(PurePosixPath(name).with_suffix(""))
        result = {}
        for ending in PARTS.get(format_, ()):
            fits = self._spellings.get((stem + ending).lower(), [])
            if fits:
                result[ending] = self._paths[min(fits, key=lambda fit: fit[: len(stem)] != stem)]
        return result

    def geodatabases(self) -> dict[str, dict[str, Path]]:
        """Folders that are file geodatabases, each with its files by their names in lower case."""
        folders = {
            str(PurePosixPath(name).parent): dict[str, Path]()
            for name in self._paths
            if PurePosixPath(name).name.lower() == _FIRST_TABLE
        }
        for name, path in self._paths.items():
            folder, own = str(PurePosixPath(name).parent), PurePosixPath(name).name.lower()
            if folder in folders and _TABLE.fullmatch(own):
                folders[folder][own] = path
        return folders
