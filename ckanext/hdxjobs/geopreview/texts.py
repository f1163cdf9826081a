"""Texts of any encoding become UTF-8 before a driver sees them; what is UTF-8 costs one look."""

from __future__ import annotations

import codecs
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ckanext.hdxjobs.geopreview import charset
from ckanext.hdxjobs.geopreview.charset import UTF8, Charset

CHUNK_BYTES = 1024**2
#: Broken characters for each whole one, up to which a text is UTF-8 with some damage and nothing else.
#: Exports that cut long values in the middle of a character make such texts.
MAX_DAMAGE = 0.1

#: Codecs that programs name when they mean, or write, a larger one.
LARGER = {
    "iso8859_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
}

#: Halves of surrogate pairs, which some programs write one by one.
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
#: Words beyond ASCII; the second byte of a Chinese or Japanese sign may be a letter or "|".
_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][\x40-\xff]*")
#: All bytes but those that begin a character of several bytes in UTF-8.
_NO_LEAD = bytes(set(range(256)) - set(range(0xC2, 0xF5)))
_DECLARATION = re.compile(rb"""\A\s*<\?xml[^>]*?\bencoding\s*=\s*["']([\w.:-]+)["']""")
_DECLARED = re.compile(r"""(\A\s*<\?xml[^>]*?\bencoding\s*=\s*)["'][\w.:-]+["']""")
_LATE_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s+<\?xml")


@dataclass
class _Look:
    """What a text's bytes are as UTF-8."""

    whole: int = 0
    broken: int = 0


def as_utf8(path: Path, *, is_xml: bool = False, may_have_mark: bool = True) -> Charset:
    """Rewrite a text as UTF-8, in place; left alone where it is UTF-8 already.

    :param is_xml: it may declare its encoding; the declaration is changed with the text
    :param may_have_mark: whether its readers know a byte order mark
    :returns: the encoding that it had
    """
    with path.open("rb") as file:
        head = file.read(4096)
    codec = charset.unicode_codec(head)
    if codec not in (None, "utf_8"):
        return _rewritten(path, Charset(charset.iconv_name(str(codec))), str(codec))
    word = _declared(head) if is_xml else None
    declared = charset.python_codec(word) if word else None
    look = _look(path)
    found, decoder = _encoding(path, look, declared)
    is_said = word is None or declared in ("utf_8", "ascii")
    is_fine = found == UTF8 and is_said and not (is_xml and look.broken)
    # Nothing may stand before an XML declaration, and no parser forgives it.
    is_fine = is_fine and not (is_xml and _LATE_DECLARATION.match(head))
    if is_fine and (codec is None or may_have_mark):
        return UTF8
    return _rewritten(path, found, decoder)


def _encoding(path: Path, look: _Look, declared: str | None) -> tuple[Charset, str]:
    """The encoding by the name that people know, and the codec that decodes it."""
    if look.broken <= MAX_DAMAGE * look.whole:
        return UTF8, "utf_8"
    if declared not in (None, "utf_8", "ascii") and not str(declared).startswith(("utf_16", "utf_32")):
        return Charset(charset.iconv_name(str(declared))), LARGER.get(str(declared), str(declared))
    # The blank ends the last word: without it, a letter there may be half a character of UTF-8.
    guessed = charset.guess(_sample(path) + b" ")
    return guessed, codecs.lookup(guessed.name).name


def _declared(head: bytes) -> str | None:
    """The encoding that an XML text says it has, in its own word."""
    found = _DECLARATION.match(head.removeprefix(codecs.BOM_UTF8))
    return found[1].decode() if found else None


def _look(path: Path) -> _Look:
    """Count the characters beyond ASCII, and what is none."""
    look = _Look()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in _chunks(path):
        if chunk.isascii():
            continue
        rest, halves = _SURROGATE.subn(b"", chunk)
        text = decoder.decode(rest)
        broken = text.count("\ufffd") - rest.count(b"\xef\xbf\xbd")
        look.broken += max(broken, 0)
        look.whole += halves + len(text.encode().translate(None, _NO_LEAD)) - broken
    look.broken += len(decoder.decode(b"", final=True))
    return look


def _sample(path: Path) -> bytes:
    words: list[bytes] = []
    size = 0
    for chunk in _chunks(path):
        for word in _WORD.finditer(chunk):
            words.append(word[0])
            size += len(word[0])
            if size > charset.SAMPLE_BYTES:
                return b" ".join(words)
    return b" ".join(words)


def _rewritten(path: Path, found: Charset, codec: str) -> Charset:
    copy = path.with_name(path.name + ".utf8")
    with (
        path.open(encoding=codec, errors="replace", newline="") as old,
        copy.open("w", encoding="utf-8", errors="replace", newline="") as new,
    ):
        start = old.read(CHUNK_BYTES).removeprefix("\ufeff")
        if _LATE_DECLARATION.match(start.encode()[:4096]):
            start = start.lstrip()
        new.write(_DECLARED.sub(r'\1"UTF-8"', start, count=1))
        while text := old.read(CHUNK_BYTES):
            new.write(text)
    copy.replace(path)
    return found


def put_type_first(path: Path, name: str) -> None:
    """Let a JSON text begin with its type, in place; the same member where it was does no harm.

    :param name: the type, such as "FeatureCollection"
    """
    copy = path.with_name(path.name + ".typed")
    with path.open("rb") as old, copy.open("wb") as new:
        before, brace, after = old.read(CHUNK_BYTES).partition(b"{")
        new.write(before + brace + f'"type":"{name}",'.encode() + after)
        shutil.copyfileobj(old, new, CHUNK_BYTES)
    copy.replace(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
