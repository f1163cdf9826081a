"""The ledger of previews: one row a resource.

No foreign key to the resource: a purge leaves the row, so that the layers are dropped.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "5d1f0c7a2b31"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    empty_list = sa.text("'[]'::jsonb")
    op.create_table(
        "hdxjobs_preview",
        sa.Column("resource_id", sa.UnicodeText, primary_key=True),
        sa.Column("package_id", sa.UnicodeText, nullable=False),
        sa.Column("fingerprint", sa.UnicodeText, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.UnicodeText, nullable=False),
        sa.Column("phase", sa.UnicodeText),
        sa.Column("progress", sa.Float),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("queued_at", moment),
        sa.Column("rung_at", moment),
        sa.Column("started_at", moment),
        sa.Column("heartbeat_at", moment),
        sa.Column("finished_at", moment),
        sa.Column("next_at", moment),
        sa.Column("retired_at", moment),
        sa.Column("error_code", sa.UnicodeText),
        sa.Column("error_class", sa.UnicodeText),
        sa.Column("error_params", postgresql.JSONB),
        sa.Column("notices", postgresql.JSONB, nullable=False, server_default=empty_list),
        sa.Column("layers", postgresql.JSONB, nullable=False, server_default=empty_list),
        sa.Column("shape_info", postgresql.JSONB, nullable=False, server_default=empty_list),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'retrying', 'ready', 'failed', 'unsupported', 'deleted')",
            name="hdxjobs_preview_state",
        ),
    )
    op.create_index("hdxjobs_preview_package_id", "hdxjobs_preview", ["package_id"])
    op.create_index(
        "hdxjobs_preview_open",
        "hdxjobs_preview",
        ["state", "next_at"],
        postgresql_where=sa.text("state IN ('queued', 'running', 'retrying')"),
    )
    op.create_index(
        "hdxjobs_preview_unretired",
        "hdxjobs_preview",
        ["resource_id"],
        postgresql_where=sa.text("state IN ('deleted', 'unsupported') AND retired_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("hdxjobs_preview")
