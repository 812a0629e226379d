"""Runs Alembic's migrations over a connection that is already in a transaction."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration() -> Config:
    """Alembic's configuration, made in code: there is no ini file to lose."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision inside the caller's transaction."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
