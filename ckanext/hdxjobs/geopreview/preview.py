"""The table ``hdxjobs_preview`` in CKAN's database: one row a resource, the truth about its preview.

All moments are ``timestamptz`` from the database's clock.

- ``generation`` rises with each new file, and with each preview asked for again.
- ``fingerprint`` is ``rules.fingerprint`` of the wanted file; "" when the resource went away, so that
  it counts as new when it comes back.
- ``attempt`` counts the jobs that claimed this generation, ``deaths`` those of them that fell silent.
- ``progress``, ``progress_done``, ``progress_total``, ``progress_unit``: a running step's
  ``values.Progress``, its share first; null where nobody can tell.
- ``rung_at``: when geo_q was last rung for the row; null when that failed.
- ``retired_at``: when the tables of a deleted or unsupported preview were dropped from PostGIS.
- ``layers``: what is served now, of whichever generation is live.
- ``shape_info``: the history that the resource's extras mirror.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ckan.plugins.toolkit as tk
import sqlalchemy as sa
from ckan import model
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Connection, RowMapping

from ckanext.hdxjobs.geopreview import legacy
from ckanext.hdxjobs.geopreview.values import Progress

Row = RowMapping

#: PostgreSQL's codes for a table and for a column that do not exist.
_UNDEFINED = frozenset({"42P01", "42703"})

#: The moment at which it is asked, not of its transaction's begin; NOW is the same throughout a statement.
CLOCK = sa.func.clock_timestamp()
NOW = sa.func.statement_timestamp()
_ISO_8601 = 'YYYY-MM-DD"T"HH24:MI:SS.US'

_MOMENT = sa.DateTime(timezone=True)

PREVIEW = sa.Table(
    "hdxjobs_preview",
    tk.BaseModel.metadata,
    sa.Column("resource_id", sa.UnicodeText, primary_key=True),
    sa.Column("package_id", sa.UnicodeText, nullable=False),
    sa.Column("fingerprint", sa.UnicodeText, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("state", sa.UnicodeText, nullable=False),
    sa.Column("phase", sa.UnicodeText),
    sa.Column("progress", sa.Float),
    sa.Column("progress_done", sa.BigInteger),
    sa.Column("progress_total", sa.BigInteger),
    sa.Column("progress_unit", sa.UnicodeText),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
    sa.Column("queued_at", _MOMENT),
    sa.Column("rung_at", _MOMENT),
    sa.Column("started_at", _MOMENT),
    sa.Column("heartbeat_at", _MOMENT),
    sa.Column("finished_at", _MOMENT),
    sa.Column("next_at", _MOMENT),
    sa.Column("retired_at", _MOMENT),
    sa.Column("error_code", sa.UnicodeText),
    sa.Column("error_class", sa.UnicodeText),
    sa.Column("error_params", JSONB),
    sa.Column("notices", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
    sa.Column("layers", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
    sa.Column("shape_info", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
)


def engine() -> sa.engine.Engine:
    """CKAN's database; transactions taken from it are independent of the session's."""
    bound: sa.engine.Engine | None = model.meta.engine
    if bound is None:
        raise RuntimeError("CKAN's database is not set up yet")
    return bound


@contextmanager
def savepoint() -> Iterator[Connection]:
    """The session's own connection inside a savepoint: our fault undoes our part and nothing else.

    It is a savepoint of the connection, not of the session: that one would fire CKAN's commit events.
    """
    connection = model.Session.connection()
    nested = connection.begin_nested()
    try:
        yield connection
    except BaseException:
        nested.rollback()
        raise
    nested.commit()


def needs_migration(error: Exception) -> bool:
    """Whether a statement failed because the migration, or this release's, has not run yet."""
    return getattr(getattr(error, "orig", None), "pgcode", None) in _UNDEFINED


def write(statement: sa.Update) -> int:
    """Run a statement in a short transaction of its own; the number of rows it changed."""
    with engine().begin() as connection:
        return int(connection.execute(statement).rowcount)


def now_s() -> float:
    """Seconds since 1970 by the database's clock, which workers and web servers share."""
    with engine().connect() as connection:
        return float(connection.execute(sa.select(sa.extract("epoch", CLOCK))).scalar_one())


def blank() -> dict[str, Any]:
    """The values of a run that has not begun."""
    moments = ("started_at", "heartbeat_at", "finished_at", "next_at", "retired_at", "rung_at")
    told = ("phase", "error_code", "error_class", "error_params")
    return dict.fromkeys(moments + told) | progress_values(None) | {"notices": []}


def progress_values(progress: Progress | None) -> dict[str, Any]:
    """How far a step is, as the row keeps it."""
    return {
        "progress": progress.share if progress else None,
        "progress_done": progress.done if progress else None,
        "progress_total": progress.total if progress else None,
        "progress_unit": progress.unit if progress else None,
    }


def pairs(first: str, second: str) -> sa.TableValuedAlias:
    """Lines of a statement's two lists of texts, side by side.

    :param first: name of a list and of its column; ``second`` too
    """
    lists = (sa.bindparam(name, type_=ARRAY(sa.UnicodeText)) for name in (first, second))
    return sa.func.unnest(*lists).table_valued(first, second, name="given").render_derived()


def appended(history: sa.ColumnElement[Any], entry: Mapping[str, Any]) -> sa.ColumnElement[Any]:
    """A history with one more entry, cut to the newest ten.

    The entry is stamped with the statement's moment as the original stack writes it: ISO 8601, UTC, without
    an offset.
    """
    moment = sa.func.to_char(sa.func.timezone("UTC", NOW), _ISO_8601)
    stamped = sa.literal(dict(entry), JSONB).concat(sa.func.jsonb_build_object("timestamp", moment))
    longer = history.concat(sa.func.jsonb_build_array(stamped))
    return sa.func.jsonb_path_query_array(longer, f"$[last-{legacy.MAX_ENTRIES - 1} to last]", type_=JSONB)
