"""The wing at a glance, for the sysadmins' page: how each sink fares, and events a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from ckanext.hdxjobs.analytics import health, spool
from ckanext.hdxjobs.analytics.health import DayCount, Health
from ckanext.hdxjobs.analytics.outbox import Outbox
from ckanext.hdxjobs.config import AnalyticsSettings

DAYS = 14

#: Kinds of events that get a colour of their own; the rest is one.
COLOURS = 6

#: The chart's inside, in SVG's units.
WIDTH, HEIGHT = 560, 160


@dataclass(frozen=True)
class Bar:
    """A piece of a day's column; x, y, width and height in SVG's units."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str


@dataclass(frozen=True)
class Chart:
    """Events a day, stacked by name.

    :ivar names: of the series; the last may be "" for all others
    :ivar highest: events of the day with the most
    """

    bars: tuple[Bar, ...]
    names: tuple[str, ...]
    days: tuple[date, ...]
    totals: tuple[int, ...]
    highest: int


@dataclass(frozen=True)
class Report:
    """What the page shows."""

    sinks: tuple[Health, ...]
    chart: Chart
    spooled_bytes: int


def make(settings: AnalyticsSettings) -> Report:
    """Ask the database.

    :raises psycopg2.Error: it does not answer, or the tables are not there yet
    """
    outbox = Outbox(settings.dsn)
    try:
        sinks = health.overview(outbox, settings.sinks)
        counts = health.days(outbox, days=DAYS)
    finally:
        outbox.close()
    today = datetime.now(timezone.utc).date()
    return Report(tuple(sinks), chart(counts, today=today), spool.size(settings.spool_folder))


def chart(counts: Sequence[DayCount], *, today: date) -> Chart:
    """Columns for the last days, the names with the most events first."""
    days = tuple(today - timedelta(days=ago) for ago in reversed(range(DAYS)))
    by_name: Counter[str] = Counter()
    for count in counts:
        by_name[count.name] += count.delivered
    names = tuple(name for name, _ in by_name.most_common(COLOURS))
    if len(by_name) > COLOURS:
        names += ("",)
    cells: Counter[tuple[date, int]] = Counter()
    for count in counts:
        series = names.index(count.name) if count.name in names else COLOURS
        cells[count.day, series] += count.delivered
    totals = tuple(sum(cells[day, series] for series in range(len(names))) for day in days)
    highest = max(totals, default=0)
    return Chart(tuple(_bars(days, names, cells, highest)), names, days, totals, highest)


def _bars(
    days: Sequence[date], names: Sequence[str], cells: Counter[tuple[date, int]], highest: int
) -> list[Bar]:
    column = WIDTH / DAYS
    bars = []
    for place, day in enumerate(days):
        top = float(HEIGHT)
        for series, name in enumerate(names):
            count = cells[day, series]
            if not count:
                continue
            height = HEIGHT * count / highest
            top -= height
            x = round(place * column + column * 0.15, 1)
            label = f"{day.isoformat()}: {name or '…'} {count}"
            bars.append(Bar(x, round(top, 1), round(column * 0.7, 1), round(height, 1), series, label))
    return bars
