"""Alembic's entry: runs the revisions over the connection that `db.migrate.upgrade` hands in."""

from alembic import context

from db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
