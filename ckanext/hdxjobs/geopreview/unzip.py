"""Safe unpacking: whatever an archive claims, only plain files come out, under names of our own, within a budget."""

from __future__ import annotations

import contextlib
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

from ckanext.hdxjobs.errors import N_, DetectError
from ckanext.hdxjobs.geopreview.rules import size_text

#: Entries that an archive may have; a shapefile has at most a dozen files, a KMZ some hundred pictures.
MAX_ENTRIES = 10_000
#: Bytes of the list of entries; whoever reads it makes an object of each 46 bytes.
MAX_DIRECTORY_BYTES = 4 * 1024**2
#: Bytes out per byte in beyond which an entry is a bomb; text compresses 5 to 20 times, zeros 1,000 times.
MAX_RATIO = 200
#: Tables with columns of fixed width are mostly blanks: of these only the budget says how much is too much.
BLANK_SUFFIX = ".dbf"
#: Bytes of an entry that may come out before its ratio is looked at.
RATIO_FREE_BYTES = 10 * 1024**2
CHUNK_BYTES = 1024**2
#: Tells zlib to expect a gzip header, with the largest window.
GZIP_WINDOW = 31
GZIP_MAGIC = b"\x1f\x8b"
#: Small, because what follows a part is copied, and a file may be made of parts of 20 bytes.
GZIP_CHUNK_BYTES = 16 * 1024
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


class _Cap:
    """The bytes that may come out.

    :param stated: what the archive claims to hold; only for the words of the error
    """

    def __init__(self, limit: int, *, stated: int = 0) -> None:
        self._limit, self._stated, self._taken = limit, stated, 0

    def take(self, byte_count: int) -> None:
        self._taken += byte_count
        if self._taken > self._limit:
            found = max(self._stated, self._taken)
            raise DetectError("zip-too-big", limit=size_text(self._limit), found=size_text(found))


def unzip(archive: Path, *, folder: Path, max_unpacked_bytes: int) -> list[Entry]:
    """Unpack into ``folder``, which is made; one level deep: archives inside stay packed.

    :raises DetectError: bad-zip, unsafe-zip, zip-too-many-files, zip-too-big or zip-bomb
    """
    folder.mkdir(mode=0o700)
    try:
        with _ModestFile(io.FileIO(archive)) as raw, zipfile.ZipFile(raw) as file:
            infos = _checked(file.infolist())
            cap = _Cap(max_unpacked_bytes, stated=sum(info.file_size for info in infos))
            entries = []
            for number, info in enumerate(infos):
                target = folder / f"{number:05}"
                with file.open(info) as source:
                    _copy(source, target, info, cap)
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


def entry_names(archive: Path) -> set[str]:
    """The names of a zip's entries, nothing unpacked; none if it is broken or odd."""
    try:
        with _ModestFile(io.FileIO(archive)) as raw, zipfile.ZipFile(raw) as file:
            return {_name(info) for info in file.infolist()[:MAX_ENTRIES]}
    except (zipfile.BadZipFile, NotImplementedError, OverflowError, ValueError, DetectError):
        return set()


def gunzip(archive: Path, *, target: Path, name: str, max_unpacked_bytes: int) -> int:
    """Unpack a gzip file of one or several parts into ``target``; tells the bytes that came out.

    :param name: what people call the file
    :raises DetectError: bad-zip, zip-too-big or zip-bomb
    """
    cap, packed_bytes, count = _Cap(max_unpacked_bytes), archive.stat().st_size, 0
    with archive.open("rb") as packed, target.open("xb") as out:
        target.chmod(0o600)
        for chunk in _inflated(packed):
            count += len(chunk)
            cap.take(len(chunk))
            _refuse_bomb(count, packed=packed_bytes, name=name)
            out.write(chunk)
    return count


def _inflated(packed: IO[bytes]) -> Iterator[bytes]:
    """What a gzip file holds; what follows its last part is not looked at, as gzip does it."""
    part, parts_ended, is_fresh = zlib.decompressobj(GZIP_WINDOW), 0, True
    while rest := packed.read(GZIP_CHUNK_BYTES):
        while rest:
            if parts_ended and is_fresh and not GZIP_MAGIC.startswith(rest[:2]):
                return
            try:
                yield part.decompress(rest, CHUNK_BYTES)
            except zlib.error as error:
                raise _damaged() from error
            is_fresh, rest = False, part.unconsumed_tail
            if part.eof:
                parts_ended += 1
                part, rest, is_fresh = zlib.decompressobj(GZIP_WINDOW), part.unused_data, True
    if not is_fresh:
        raise _damaged()


def _damaged() -> DetectError:
    return DetectError("bad-zip", reason=N_("it is damaged or cut off"))


class _ModestFile(io.BufferedReader):
    """A file that refuses to be read in large pieces: ``zipfile`` takes the whole list of entries in one."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise DetectError("zip-too-many-files", limit=MAX_ENTRIES)
        return super().read(size)


def _reason(error: Exception) -> str:
    if isinstance(error, NotImplementedError):
        return N_("it uses a compression that is not supported")
    return N_("it is damaged or cut off")


def _checked(infos: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The plain files of an archive whose entries are all harmless."""
    if len(infos) > MAX_ENTRIES:
        raise DetectError("zip-too-many-files", limit=MAX_ENTRIES)
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


def _copy(source: IO[bytes], target: Path, info: zipfile.ZipInfo, cap: _Cap) -> None:
    """Unpack one entry, counting what really comes out."""
    count = 0
    is_blank = _name(info).lower().endswith(BLANK_SUFFIX)
    with target.open("xb") as out:
        target.chmod(0o600)
        while chunk := source.read(CHUNK_BYTES):
            count += len(chunk)
            cap.take(len(chunk))
            if not is_blank:
                _refuse_bomb(count, packed=info.compress_size, name=_name(info))
            out.write(chunk)


def _refuse_bomb(count: int, *, packed: int, name: str) -> None:
    if count > RATIO_FREE_BYTES and count > MAX_RATIO * max(packed, 1):
        raise DetectError("zip-bomb", ratio=MAX_RATIO, entry=_shown(name))


def _shown(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:200]
