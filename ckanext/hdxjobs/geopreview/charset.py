"""In which encoding a Shapefile's texts are: the .cpg file, the DBF's language byte, then a guess."""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import charset_normalizer

#: Bytes of texts that a guess looks at.
SAMPLE_BYTES = 256 * 1024

#: dBASE "language driver" byte -> Python codec; 0 and 0x57 ("ANSI", whichever that was) decide nothing.
LANGUAGE_BYTES = {
    0x01: "cp437", 0x02: "cp850", 0x03: "cp1252", 0x08: "cp865", 0x09: "cp437", 0x0A: "cp850", 0x0B: "cp437",
    0x0D: "cp437", 0x0E: "cp850", 0x0F: "cp437", 0x10: "cp850", 0x11: "cp437", 0x12: "cp850", 0x13: "cp932",
    0x14: "cp850", 0x15: "cp437", 0x16: "cp850", 0x17: "cp865", 0x18: "cp437", 0x19: "cp437", 0x1A: "cp850",
    0x1B: "cp437", 0x1C: "cp863", 0x1D: "cp850", 0x1F: "cp852", 0x22: "cp852", 0x23: "cp852", 0x24: "cp860",
    0x25: "cp850", 0x26: "cp866", 0x37: "cp850", 0x40: "cp852", 0x4D: "cp936", 0x4E: "cp949", 0x4F: "cp950",
    0x50: "cp874", 0x58: "cp1252", 0x59: "cp1252", 0x64: "cp852", 0x65: "cp866", 0x66: "cp865", 0x67: "cp861",
    0x6A: "cp737", 0x6B: "cp857", 0x6C: "cp863", 0x78: "cp950", 0x79: "cp949", 0x7A: "cp936", 0x7B: "cp932",
    0x7C: "cp874", 0x7D: "cp1255", 0x7E: "cp1256", 0x86: "cp737", 0x87: "cp852", 0x88: "cp857", 0xC8: "cp1250",
    0xC9: "cp1251", 0xCA: "cp1254", 0xCB: "cp1253", 0xCC: "cp1257",
}  # fmt: skip

#: Encodings that offices really use for Shapefiles; of two that fit equally well the earlier one is guessed.
PLAUSIBLE = [
    "cp1252", "cp1251", "cp1256", "cp1254", "gb18030", "cp932", "cp949", "big5", "cp874", "cp1250", "cp1253",
    "cp1255", "cp1257", "cp1258", "cp866", "koi8_r",
]  # fmt: skip

#: Python has codecs of other kinds as well (zip, punycode, undefined), some slow and some that always fail.
ENCODINGS = re.compile(
    r"cp\d|iso8859|koi8|gb|hz|big5|shift_jis|euc_|mac_|tis_620|johab|kz1048|utf_(?:8|16|32)|ascii|hp_roman"
)

#: "windows-874" and "x-cp1252": code pages that Python knows by their numbers only.
_WINDOWS_PAGE = re.compile(r"(?:windows-|x-cp)(\d+)\Z")

#: The mark of UTF-32 begins with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf_8"),
    (codecs.BOM_UTF32_LE, "utf_32_le"),
    (codecs.BOM_UTF32_BE, "utf_32_be"),
    (codecs.BOM_UTF16_LE, "utf_16_le"),
    (codecs.BOM_UTF16_BE, "utf_16_be"),
)
#: Two characters of ASCII in each of the wide encodings.
NUL_PATTERNS = (
    (re.compile(rb"(?:[\t\n\r -~]\0\0\0){2}"), "utf_32_le"),
    (re.compile(rb"(?:\0\0\0[\t\n\r -~]){2}"), "utf_32_be"),
    (re.compile(rb"(?:[\t\n\r -~]\0){2}"), "utf_16_le"),
    (re.compile(rb"(?:\0[\t\n\r -~]){2}"), "utf_16_be"),
)

#: Python codec -> the name that GDAL's iconv knows, where upper case alone does not do.
ICONV_NAMES = {
    "utf_8": "UTF-8",
    "utf_16_le": "UTF-16",
    "utf_16_be": "UTF-16",
    "utf_32_le": "UTF-32",
    "utf_32_be": "UTF-32",
    "iso8859_1": "ISO-8859-1",
    "koi8_r": "KOI8-R",
    "gbk": "CP936",
    "big5": "BIG5",
    "ascii": "UTF-8",
}


@dataclass(frozen=True)
class Charset:
    """An encoding by the name that GDAL knows, and whether it is a guess."""

    name: str
    guessed: bool = False


UTF8 = Charset("UTF-8")


def unicode_codec(head: bytes) -> str | None:
    """The codec of a text that is Unicode for sure: by its byte order mark, or by the NULs of Latin letters.

    :returns: None also for UTF-8 without a mark
    """
    for mark, codec in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return codec
    for pattern, codec in NUL_PATTERNS:
        if pattern.match(head):
            return codec
    return None


def of_dbf(dbf: Path) -> Charset:
    """The encoding of a DBF file's texts."""
    if not dbf.is_file():
        return UTF8
    stated = _stated_by_cpg(dbf.with_suffix(".cpg"))
    if stated:
        return Charset(iconv_name(stated))
    raw = dbf.read_bytes() if dbf.stat().st_size < SAMPLE_BYTES else _head(dbf)
    by_byte = LANGUAGE_BYTES.get(raw[29]) if len(raw) > 32 else None
    if by_byte:
        return Charset(iconv_name(by_byte))
    return guess(raw[32:])


def guess(sample: bytes) -> Charset:
    """The likeliest encoding of a sample: plain ASCII needs none, valid UTF-8 is UTF-8."""
    if sample.isascii():
        return UTF8
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        words = b" ".join(re.findall(rb"[^\x00-\x20]*[\x80-\xff][^\x00-\x20]*", sample))
        return Charset(iconv_name(_likeliest(words)), guessed=True)
    return Charset("UTF-8", guessed=True)


def _likeliest(words: bytes) -> str:
    """The codec that makes the most sense of words that are not UTF-8."""
    fits = [
        (match.chaos, _oddities(str(match)), -match.coherence, PLAUSIBLE.index(codec))
        for match in charset_normalizer.from_bytes(words, cp_isolation=PLAUSIBLE)
        for codec in match.could_be_from_charset
        if codec in PLAUSIBLE
    ]
    return PLAUSIBLE[min(fits)[-1]] if fits else PLAUSIBLE[0]


def _oddities(text: str) -> int:
    """Characters that no word has inside: signs such as the pound's, beyond ASCII."""
    return sum(1 for char in text if ord(char) > 127 and unicodedata.category(char)[0] not in "LM")


def _head(dbf: Path) -> bytes:
    with dbf.open("rb") as file:
        return file.read(SAMPLE_BYTES)


def _stated_by_cpg(cpg: Path) -> str | None:
    """The codec a .cpg file names: "UTF-8", "1251", "ANSI 1251", "ISO 88591", "windows-1256"."""
    if not cpg.is_file():
        return None
    text = cpg.read_bytes()[:64].decode("ascii", "ignore").strip().lower()
    number = re.search(r"8859[-_ ]?(\d{1,2})", text)
    if number:
        return python_codec(f"iso8859-{number[1]}")
    if "65001" in text:
        return "utf_8"
    page = re.search(r"(\d{3,5})", text)
    return python_codec(text) or (python_codec(f"cp{page[1]}") if page else None)


def python_codec(name: str) -> str | None:
    """Python's own name of an encoding, with "_" for "-"; None: it knows no such encoding of texts."""
    page = _WINDOWS_PAGE.match(name.strip().lower())
    try:
        codec = codecs.lookup(f"cp{page[1]}" if page else name.lower().removeprefix("x-"))
    except (LookupError, ValueError):
        return None
    codec_name = codec.name.replace("-", "_")
    return codec_name if ENCODINGS.match(codec_name) else None


def iconv_name(codec: str) -> str:
    """The name of one of Python's codecs that GDAL and people know."""
    if codec.startswith("iso8859_"):
        return f"ISO-8859-{codec.removeprefix('iso8859_')}"
    return ICONV_NAMES.get(codec, codec.upper())
