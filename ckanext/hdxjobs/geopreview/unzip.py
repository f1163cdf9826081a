"""A safe unzip: whatever an archive claims, only plain files come out, under names of our own, within a budget."""

from __future__ import annotations

import contextlib
import stat
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from ckanext.hdxjobs.errors import N_, DetectError
from ckanext.hdxjobs.geopreview.rules import size_text

#: Entries that an archive may have; a shapefile has at most a dozen files, a KMZ some hundred pictures.
MAX_ENTRIES = 10_000
#: Bytes out per byte in beyond which an entry is a bomb; text compresses 5 to 20 times, zeros 1,000 times.
MAX_RATIO = 200
#: Tables with columns of fixed width are mostly blanks: of these only the budget says how much is too much.
BLANK_SUFFIX = ".dbf"
#: Bytes of an entry that may come out before its ratio is looked at.
RATIO_FREE_BYTES = 10 * 1024**2
CHUNK_BYTES = 1024**2
ENCRYPTED = 0x1
NAMED_IN_UTF8 = 0x800


@dataclass(frozen=True)
class Entry:
    """An unpacked file.

    :ivar name: its name in the archive, with "/" between folders
    :ivar path: where it lies on disk, under a name that owes nothing to the archive
    """

    name: str
    path: Path


def unzip(archive: Path, *, folder: Path, max_unpacked_bytes: int) -> list[Entry]:
    """Unpack into ``folder``, which is made; one level deep: archives inside stay packed.

    :raises DetectError: bad-zip, unsafe-zip, zip-too-big or zip-bomb
    """
    folder.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(archive) as file:
            infos = _checked(file.infolist())
            budget = max_unpacked_bytes
            entries = []
            for number, info in enumerate(infos):
                target = folder / f"{number:05}"
                with file.open(info) as source:
                    budget -= _copy(source, target, info, budget=budget, limit=max_unpacked_bytes)
                entries.append(Entry(_name(info), target))
            return entries
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OverflowError,
        ValueError,
    ) as error:
        raise DetectError("bad-zip", reason=_reason(error)) from error
    except RuntimeError as error:
        raise DetectError("bad-zip", reason=N_("it is protected by a password")) from error


def _reason(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return N_("it uses a compression that is not supported")
    return N_("it is damaged or cut off")


def _checked(infos: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The plain files of an archive whose entries are all harmless."""
    if len(infos) > MAX_ENTRIES:
        raise DetectError("unsafe-zip", entry=f"{len(infos)} entries")
    seen = set()
    for info in infos:
        name = _name(info)
        if _leaves(name) or not _is_plain(info) or name in seen:
            raise DetectError("unsafe-zip", entry=_shown(name))
        if info.flag_bits & ENCRYPTED:
            raise DetectError("bad-zip", reason=N_("it is protected by a password"))
        seen.add(name)
    _refuse_overlaps(infos)
    return [info for info in infos if not info.is_dir()]


def _name(info: zipfile.ZipInfo) -> str:
    """An entry's name, with "/" between folders.

    macOS and Info-ZIP write UTF-8 without saying so, and ``zipfile`` reads all that is unsaid as code page 437.
    """
    name = info.filename
    if not info.flag_bits & NAMED_IN_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _leaves(name: str) -> bool:
    """Whether a name points out of the folder: absolute, with a drive, or by ".."."""
    return name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":" or "\0" in name


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """A file or folder; no link, device, pipe or socket."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _refuse_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share their bytes are how a small archive becomes petabytes."""
    spans = sorted(
        (info.header_offset, info.header_offset + info.compress_size, info.filename) for info in infos
    )
    for (_, end, _), (start, _, name) in pairwise(spans):
        if start < end:
            raise DetectError("unsafe-zip", entry=_shown(name))


def _copy(source: IO[bytes], target: Path, info: zipfile.ZipInfo, *, budget: int, limit: int) -> int:
    """Unpack one entry, counting what really comes out."""
    count = 0
    most = budget if _name(info).lower().endswith(BLANK_SUFFIX) else MAX_RATIO * max(info.compress_size, 1)
    with target.open("xb") as out:
        target.chmod(0o600)
        while chunk := source.read(CHUNK_BYTES):
            count += len(chunk)
            if count > budget:
                raise DetectError("zip-too-big", limit=size_text(limit))
            if count > RATIO_FREE_BYTES and count > most:
                raise DetectError("zip-bomb", ratio=MAX_RATIO, entry=_shown(_name(info)))
            out.write(chunk)
    return count


def _shown(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:200]
