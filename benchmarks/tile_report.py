"""What ./dev bench tiles found, as a page with tables and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from benchmarks import report
from benchmarks.report import Line
from benchmarks.tile_site import Through
from benchmarks.tile_tiny import Tiny
from benchmarks.tile_walk import Timed

if TYPE_CHECKING:
    from benchmarks.bench_tiles import Found

PAGE, PLOT = Path(__file__).with_name("tiles.md"), Path(__file__).with_name("tiles.svg")
FULL_BYTES = 500_000

INTRODUCTION = """# Tiles of heavy layers

`./dev bench tiles`, some half hour; the other servers come by `./dev peers`. {when}; {machine}.

Each layer is a file. ogr2ogr loads it (COPY, GiST) for Martin 1.14.0 and tipg 1.6.1, and our import for us; then all
are asked for the same 500 tiles, zooms 0 to 16 where the features are, each once. *In PostGIS* is our function alone;
*by Martin* is the same function published by the same Martin that publishes ogr2ogr's table, so that only what is
behind the server differs. Martin keeps no tiles, and tipg sends all features of a tile. A server is asked for
25 seconds at most, and a tile is given up after 60. pg_tileserv is not among them: its module could not be had.

![worst and median tile of each layer](tiles.svg)
"""


def short(found: Found) -> str:
    """A layer in a line, for the terminal."""
    parts = [f"p99 {found.ours.quantile(0.99):.0f}, max {found.ours.worst_ms:.0f} ms"]
    parts += [f"{name} max {timed.worst_ms:,.0f} ms" for name, timed in found.peers.items()]
    return "; ".join(parts)


def write(
    found: Sequence[Found], tiny: Tiny | None, through_ckan: Mapping[str, Through], *, keep: bool
) -> list[str]:
    """Write the page and the plot; the lines that say what is wanted and what was found."""
    wanted = [*_promises(found), *(_tiny(tiny) if tiny else ()), *_ckan(through_ckan)]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    texts = [
        INTRODUCTION.format(when=now, machine=report.machine()),
        "## Tiles",
        _tiles(found),
        "## Beside other servers",
        _peers(found),
        "## Preparing",
        _preparing(found),
        "## What is asked for",
        report.table(wanted),
        "Made by `./dev bench tiles`.\n",
    ]
    page = "\n\n".join(texts)
    print(page)
    if keep:
        PAGE.write_text(page, encoding="utf-8")
        PLOT.write_text(plot(found), encoding="utf-8")
    return [f"  {line.what}: {line.found}" for line in wanted]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _tiles(found: Sequence[Found]) -> str:
    heads = ("layer", "stored, median", "p50", "p99", "max", "largest tile", "while prepared: p99", "max")
    rows = []
    for each in found:
        stored = sorted(each.stored_ms)
        rows.append(
            (
                each.wanted.title,
                f"{stored[len(stored) // 2]:.2f} ms" if stored else "none",
                *(f"{each.ours.quantile(share):.1f} ms" for share in (0.5, 0.99)),
                f"{each.ours.worst_ms:.0f} ms",
                f"{each.ours.largest / 1e3:.0f} kB",
                *_span(each.meanwhile),
            )
        )
    return _table(heads, rows)


def _span(timed: Timed) -> tuple[str, str]:
    if not timed.ms:
        return ("–", "–")
    return (f"{timed.quantile(0.99):.0f} ms ({len(timed.ms)} tiles)", f"{timed.worst_ms:.0f} ms")


def _peers(found: Sequence[Found]) -> str:
    heads = (
        "layer", "ours by Martin: p50 / max", "Martin: p50 / max", "tipg: p50 / max",
        "largest: ours / Martin / tipg", "worst against worst", "few features: ours / Martin",
        "8 clients: ours / Martin",
    )  # fmt: skip
    rows = []
    for each in found:
        if not each.peers:
            continue
        martin, tipg = each.peers["martin"], each.peers["tipg"]
        rows.append(
            (
                each.wanted.title,
                *(_pair(timed) for timed in (each.through, martin, tipg)),
                " / ".join(f"{timed.largest / 1e3:,.0f} kB" for timed in (each.through, martin, tipg)),
                f"{each.against_worst:,.0f} ×" if each.against_worst else "–",
                f"{each.handful:.2f}" if each.handful else "–",
                " / ".join(f"{rate:,.0f}/s" for rate in each.rates) if each.rates else "–",
            )
        )
    return _table(heads, rows)


def _pair(timed: Timed) -> str:
    late = f", {timed.late} given up" if timed.late else ""
    return f"{timed.quantile(0.5):,.1f} / {timed.worst_ms:,.0f} ms ({len(timed.ms)} tiles{late})"


def _preparing(found: Sequence[Found]) -> str:
    heads = (
        "layer", "ogr2ogr", "detect + load", "publish + prepare", "tippecanoe -zg",
        "table", "stored: tiles / pieces / lists", "tippecanoe's tiles",
    )  # fmt: skip
    rows = []
    for each in found:
        took = f"{each.tippecanoe_s:.0f} s" if each.tippecanoe_s else f"over {each.tippecanoe_limit_s:.0f} s"
        took = f"fails: {each.tippecanoe_said}" if each.tippecanoe_said else took
        size = f"{each.tippecanoe_bytes / 1e6:.0f} MB" if each.tippecanoe_bytes else "–"
        rows.append(
            (
                each.wanted.title,
                f"{each.ogr2ogr_s:.1f} s",
                f"{each.seconds['detect']:.1f} + {each.seconds['load']:.1f} s",
                f"{each.seconds['publish']:.1f} + {each.seconds['prepare']:.1f} s",
                took if each.peers else "–",
                f"{each.table_bytes / 1e6:.1f} MB",
                f"{each.stored_bytes / 1e6:.1f} MB: {each.stored_tiles:,} / {each.pieces:,} / {each.lists:,}",
                size,
            )
        )
    return _table(heads, rows)


def _promises(found: Sequence[Found]) -> list[Line]:
    largest = max(each.ours.largest for each in found)
    lines = [Line("the largest tile", f"{largest / 1e3:.0f} kB", "≤ 500 kB", largest <= FULL_BYTES)]
    for each in found:
        p99, worst = each.ours.quantile(0.99), each.ours.worst_ms
        met = p99 <= 60 and worst <= 150
        lines.append(
            Line(f"{each.wanted.title}: p99 / max", f"{p99:.0f} / {worst:.0f} ms", "≤ 60 / ≤ 150 ms", met)
        )
    for each in found:
        if each.meanwhile.ms:
            p99, worst = each.meanwhile.quantile(0.99), each.meanwhile.worst_ms
            what = f"{each.wanted.title}, while it is prepared: p99 / max"
            lines.append(
                Line(what, f"{p99:.0f} / {worst:.0f} ms", "≤ 60 / ≤ 150 ms", p99 <= 60 and worst <= 150)
            )
    stored = sorted(ms for each in found for ms in each.stored_ms)
    if stored:
        middle = stored[len(stored) // 2]
        lines.append(Line("a stored tile, median of all", f"{middle:.2f} ms", "≤ 1 ms", middle <= 1))
    for each in found:
        lines += _against(each)
    points = [each for each in found if each.wanted.name.startswith("points-")]
    if len(points) > 1:
        p99s = [each.ours.quantile(0.99) for each in points]
        flat = max(p99s) / min(p99s)
        said = " / ".join(f"{p99:.0f}" for p99 in p99s)
        lines.append(
            Line("p99 at 10 k, 100 k, 1 M, 5 M points", f"{said} ms: {flat:.1f} ×", "≤ 2 ×", flat <= 2)
        )
    return lines


def _against(each: Found) -> list[Line]:
    lines, title = [], each.wanted.title
    if each.against_worst:
        found = f"{each.against_worst:,.0f} ×"
        lines.append(
            Line(f"{title}: the best peer's worst in ours", found, "≥ 100 ×", each.against_worst >= 100)
        )
    if each.handful:
        lines.append(
            Line(
                f"{title}: few features, ours in Martin's",
                f"{each.handful:.2f}",
                "≤ 1.2",
                each.handful <= 1.2,
            )
        )
    if each.wanted.kind in ("points", "squares", "mosaic", "giant") or each.wanted.name == "countries":
        limit = 1.0 if each.wanted.kind in ("points", "squares") else 2.0
        ratio = each.publish_s / each.seconds["load"]
        lines.append(
            Line(f"{title}: publish + prepare in load", f"{ratio:.2f}", f"≤ {limit}", ratio <= limit)
        )
    if each.peers and not each.tippecanoe_said:
        most_s = each.tippecanoe_s or each.tippecanoe_limit_s
        ratio, sign = each.publish_s / most_s, "" if each.tippecanoe_s else "< "
        lines.append(Line(f"{title}: … in tippecanoe's time", f"{sign}{ratio:.2f}", "≤ 0.2", ratio <= 0.2))
    ratio = each.stored_bytes / each.table_bytes
    lines.append(Line(f"{title}: stored in the table's size", f"{ratio:.2f}", "≤ 1.5", ratio <= 1.5))
    return lines


def _tiny(tiny: Tiny) -> list[Line]:
    rows = ((tiny.ours, "in PostGIS"), (tiny.through, "by Martin"), (tiny.martin, "Martin's own"))
    said = "; ".join(
        f"{title} {timed.quantile(0.5):.1f} / {timed.quantile(0.99):.1f} ms" for timed, title in rows
    )
    return [
        Line(f"{tiny.layers} tiny layers: p50 / p99", said),
        Line("… imported in", f"{tiny.seconds:.1f} s"),
    ]


def _ckan(through: Mapping[str, Through]) -> list[Line]:
    lines = []
    for title, each in through.items():
        adds = each.one.p50 - each.in_postgis.p50
        size = f"{each.tile_bytes / 1e3:.0f} kB"
        lines += [
            Line(
                f"through CKAN, a stored tile of {size} {title}",
                f"p50 {each.one.p50:.1f}, p99 {each.one.p99:.1f} ms",
            ),
            Line("… which adds to PostGIS, p50", f"{adds:.1f} ms", "≤ 10 ms", adds <= 10),
            Line("… 8 clients, one web process", f"{each.a_second:.0f}/s", "≥ 150/s", each.a_second >= 150),
            Line(
                "… a page of the site while 200 clients ask for it, p50 / p99 (alone)",
                f"{each.page_amid.p50:.0f} / {each.page_amid.p99:.0f} ms"
                f" ({each.page_alone.p50:.0f} / {each.page_alone.p99:.0f} ms)",
            ),
            Line(
                "… connections to the map database then", str(each.connections), "≤ 3", each.connections <= 3
            ),
        ]
    return lines


COLOURS = {"ours by Martin": "#0b6e4f", "martin": "#c1440e", "tipg": "#6b5ca5"}
WIDTH, LEFT, ROW, TOP = 900, 260, 34, 60
SPAN_MS = (0.5, 100_000)


def plot(found: Sequence[Found]) -> str:
    """Median and worst tile of each layer and server, on a logarithmic scale of milliseconds."""
    layers = [each for each in found if each.peers]
    height = TOP + ROW * len(layers) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
        ' font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for power in range(0, 6):
        x = _x(10**power)
        label = f"{10**power} ms" if power < 3 else f"{10 ** (power - 3)} s"
        parts.append(f'<path d="M{x:.0f} {TOP - 12}V{height - 40}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.0f}" y="{height - 22}" text-anchor="middle" fill="#555">{label}</text>')
    for number, (name, colour) in enumerate(COLOURS.items()):
        x = LEFT + number * 215
        parts.append(f'<circle cx="{x}" cy="22" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{x + 12}" y="27">{name}: median to worst</text>')
    for row, each in enumerate(layers):
        y = TOP + ROW * row + ROW / 2
        parts.append(
            f'<text x="{LEFT - 16}" y="{y + 4:.0f}" text-anchor="end">{escape(each.wanted.title)}</text>'
        )
        servers = {"ours by Martin": each.through, **each.peers}
        for place, (name, timed) in enumerate(servers.items()):
            parts.append(_bar(timed, y + (place - 1) * 9, COLOURS[name]))
    return "".join((*parts, "</svg>\n"))


def _bar(timed: Timed, y: float, colour: str) -> str:
    middle, worst = _x(timed.quantile(0.5)), _x(timed.worst_ms)
    return (
        f'<path d="M{middle:.0f} {y:.0f}H{worst:.0f}" stroke="{colour}" stroke-width="3" opacity=".55"/>'
        f'<circle cx="{middle:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>'
        f'<circle cx="{worst:.0f}" cy="{y:.0f}" r="4.5" fill="{colour}"/>'
    )


def _x(ms: float) -> float:
    low, high = map(math.log10, SPAN_MS)
    share = (math.log10(min(max(ms, SPAN_MS[0]), SPAN_MS[1])) - low) / (high - low)
    return LEFT + share * (WIDTH - LEFT - 30)
