"""What a server's response headers say about a file: pure readers of HTTP's small languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.message import Message
from email.utils import collapse_rfc2231_value, parsedate_to_datetime

from ckanext.hdxjobs.geopreview import rules

#: Bytes of a file name on the usual file systems.
MAX_NAME_BYTES = 255
#: Digits of a number of bytes or seconds that means anything.
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


def announced_bytes(headers: Mapping[str, str]) -> int | None:
    """Bytes that the file has, as the server says; None for compressed or chunked transfer.

    :param headers: without regard to the case of names
    """
    text = headers.get("Content-Length", "").strip()
    if headers.get("Content-Encoding", "identity").lower() != "identity" or not _NUMBER.fullmatch(text):
        return None
    return int(text)


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> int | None:
    """Seconds that a server wants to be left alone (RFC 9110, 10.2.3: seconds or a date); None: it does not say.

    A date is compared with the answer's own ``Date``: our clock and theirs may differ.

    :param headers: without regard to the case of names
    :param now: for an answer without a date
    """
    text = headers.get("Retry-After", "").strip()
    if _NUMBER.fullmatch(text):
        return int(text)
    date = _date(text)
    if date is None:
        return None
    answered = _date(headers.get("Date", "")) or now
    return max(int((date - answered).total_seconds()), 0)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for numbers of twenty digits
        return None
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def file_name(content_disposition: str | None) -> str:
    """The name that a server gives a file (RFC 6266), as one harmless part of a path; "" when it gives none."""
    message = Message()
    message["Content-Disposition"] = " ".join((content_disposition or "").split())
    params = message.get_params(failobj=[], header="Content-Disposition")
    names = [value for name, value in params if name.lower() == "filename"]
    # filename* comes first where both are there; it comes as a tuple of charset, language and text.
    best = next((name for name in names if isinstance(name, tuple)), names[0] if names else "")
    return _one_part(_text(best))


def _text(value: str | tuple[str | None, str | None, str]) -> str:
    if isinstance(value, tuple):
        try:
            return collapse_rfc2231_value(value)
        except ValueError:
            # A charset that is none.
            return ""
    try:
        # Servers write plain names in UTF-8, HTTP's clients read headers as Latin-1.
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _one_part(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(character for character in rules.clean(last) if character.isprintable()).strip(" .")
    return rules.shorten(shown, MAX_NAME_BYTES)
