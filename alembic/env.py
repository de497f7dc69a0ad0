"""Alembic's environment for the reference migrations.

The database is named by `-x url=…` or by the environment; each revision is one transaction.
"""

from __future__ import annotations

from logging.config import fileConfig

import sqlalchemy as sa
from alembic import context

from compat.connection import resolve_url
from compat.errors import CompatError

config = context.config
if config.config_file_name is not None and config.attributes.get("configure_logging", True):
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def url() -> sa.URL:
    """Return the URL of the database, with psycopg as its driver."""
    given = context.get_x_argument(as_dictionary=True).get("url")
    try:
        found = resolve_url(given or config.get_main_option("sqlalchemy.url"))
    except CompatError as error:
        raise SystemExit(f"error: {error}") from None
    return sa.make_url(found).set(drivername="postgresql+psycopg")


def run_offline() -> None:
    """Print the SQL (--sql)."""
    context.configure(
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the revisions on the database."""
    engine = sa.create_engine(url(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
