"""How far a running step is, in bytes or features.

All three may be null: workers of the release before this one do not write them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3f7b9d24c6a8"
down_revision = "8c2a64e91f07"
branch_labels = None
depends_on = None

COLUMNS = {"progress_done": sa.BigInteger, "progress_total": sa.BigInteger, "progress_unit": sa.UnicodeText}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("hdxjobs_preview", sa.Column(name, kind))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("hdxjobs_preview", name)
