"""The outbox of events, what is known of each sink, the counts and the daily salts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "8c2a64e91f07"
down_revision = "5d1f0c7a2b31"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")
ZERO = sa.text("0")
NOTHING = sa.text("''")


def upgrade() -> None:
    _events()
    op.create_table(
        "hdxjobs_sink",
        sa.Column("name", sa.UnicodeText, primary_key=True),
        sa.Column("paused_until", MOMENT),
        sa.Column("failures", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("last_error", sa.UnicodeText),
        sa.Column("last_error_at", MOMENT),
        sa.Column("alarm", sa.UnicodeText),
        sa.Column("delivered_at", MOMENT),
    )
    op.create_table(
        "hdxjobs_event_tally",
        sa.Column("slot", MOMENT, primary_key=True),
        sa.Column("sink", sa.UnicodeText, primary_key=True),
        sa.Column("name", sa.UnicodeText, primary_key=True),
        sa.Column("delivered", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("refused", sa.BigInteger, nullable=False, server_default=ZERO),
    )
    op.create_table(
        "hdxjobs_salt",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("salt", sa.LargeBinary, nullable=False),
    )


def _events() -> None:
    op.create_table(
        "hdxjobs_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("event_id", postgresql.UUID, nullable=False),
        sa.Column("sink", sa.UnicodeText, nullable=False),
        sa.Column("name", sa.UnicodeText, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("visitor_id", sa.UnicodeText, nullable=False, server_default=NOTHING),
        sa.Column("session_id", sa.UnicodeText, nullable=False, server_default=NOTHING),
        sa.Column("properties", postgresql.JSONB, nullable=False),
        sa.Column("next_at", MOMENT, nullable=False, server_default=CLOCK),
        sa.Column("lease", postgresql.UUID),
        sa.Column("lease_until", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("last_error", sa.UnicodeText),
        sa.Column("dead_at", MOMENT),
        sa.UniqueConstraint("event_id", "sink", name="hdxjobs_event_once"),
    )
    # Claims walk this index in order; the id in it spares them a sort.
    op.create_index(
        "hdxjobs_event_due",
        "hdxjobs_event",
        ["sink", "next_at", "id"],
        postgresql_where=sa.text("dead_at IS NULL"),
    )
    op.create_index(
        "hdxjobs_event_dead",
        "hdxjobs_event",
        ["sink", "dead_at"],
        postgresql_where=sa.text("dead_at IS NOT NULL"),
    )


def downgrade() -> None:
    for table in ("hdxjobs_salt", "hdxjobs_event_tally", "hdxjobs_sink", "hdxjobs_event"):
        op.drop_table(table)
