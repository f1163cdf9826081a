"""When to try again: pure rules of patience."""

from __future__ import annotations

#: Seconds to wait after the first, second, ... attempt; the last one repeats.
DELAYS_S = (30, 120, 600, 1800, 3600)

#: A preview that could not be made for this long is given up until somebody asks again.
PATIENCE_S = 24 * 3600

#: Jobs that may die without a word (killed, out of memory) before the file is blamed.
MAX_LOST_JOBS = 5


def delay_s(*, attempt: int, waited_s: float, asked_s: int | None = None) -> int | None:
    """Seconds until the next attempt, or None: give up.

    :param attempt: how many attempts were made, 1 or more
    :param waited_s: seconds since the preview was asked for
    :param asked_s: seconds that the server behind a link wants to be left alone; at most an hour is granted
    """
    delay = max(DELAYS_S[min(attempt, len(DELAYS_S)) - 1], min(asked_s or 0, DELAYS_S[-1]))
    return None if waited_s + delay > PATIENCE_S else delay
