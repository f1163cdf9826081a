"""What a message to publishers is made of; the messages themselves are the tables in ``errors``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A row of the table of failures.

    :ivar code: stable slug that users, logs and other programs see
    :ivar state: the preview's end state, "failed" or "unsupported"
    :ivar retryable: may the same file succeed later without anybody changing it?
    :ivar error_type: the original HDX stack's slug that old clients know
    """

    code: str
    message: str
    advice: str
    state: str = "failed"
    retryable: bool = False
    error_type: str = "unknown"


@dataclass(frozen=True)
class NoticeText:
    """A row of the table of notices: what is said about a preview that is ready."""

    code: str
    message: str
