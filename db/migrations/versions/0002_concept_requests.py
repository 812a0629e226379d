"""Requests to forget a concept."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "concept_requests",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("layer", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["adapter"], ["artifacts.id"], name=op.f("fk_concept_requests_adapter")),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_concept_requests_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concept_requests")),
    )
    op.create_index(op.f("ix_concept_requests_user"), "concept_requests", ["user"], unique=False)


def downgrade() -> None:
    """Refuse: requests that still hold would be lost."""
    raise NotImplementedError("requests to forget a concept cannot be taken back by a migration")
