"""How many of a preview's workers died over it, apart from tries that failed with a word.

Workers of the release before this one count no deaths: the default stands for them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "b4e7162d90ca"
down_revision = "3f7b9d24c6a8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("hdxjobs_preview", sa.Column("deaths", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("hdxjobs_preview", "deaths")
