"""One PostgreSQL server for the whole run, and an empty database for each test that asks for one.

Under xdist the controller starts the server and tells the workers its address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import settings

from compat import state
from compat.database import EMPTY, Database, database_name, provide_database

DATABASE = pytest.StashKey[Database]()
STACK = pytest.StashKey[contextlib.ExitStack]()
WORKER_INPUT = "compat_database"

settings.register_profile("proof")  # see tests/compat/strategies.py


def pytest_configure(config: pytest.Config) -> None:
    """Have the server before the workers start; a worker only learns where it is."""
    told: dict[str, Any] | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    if told is not None:
        places = {
            name: Path(told[name]) if told[name] else None
            for name in ("data_directory", "log_file")
        }
        config.stash[DATABASE] = Database(**(told | places))
        return
    if config.option.collectonly or config.option.help or hasattr(config, "workerinput"):
        return
    stack = contextlib.ExitStack()
    config.stash[STACK] = stack
    config.stash[DATABASE] = stack.enter_context(provide_database(in_memory=True))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Also reached after Ctrl-C; after anything worse the server's keeper cleans up."""
    if (stack := config.stash.get(STACK, None)) is not None:
        stack.close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by xdist in the controller for each worker."""
    if (database := node.config.stash.get(DATABASE, None)) is not None:
        node.workerinput[WORKER_INPUT] = {
            "url": database.url,
            "kind": database.kind,
            "origin": database.origin,
            "version": database.version,
            "data_directory": str(database.data_directory or ""),
            "log_file": str(database.log_file or ""),
        }


def pytest_report_header(config: pytest.Config) -> str:
    """Say which server the tests run on."""
    database = config.stash.get(DATABASE, None)
    return f"database: {database.origin if database is not None else 'none started'}"


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Database:
    """The server that all tests share: nobody may stop it or change its settings."""
    return pytestconfig.stash[DATABASE]


@pytest.fixture
def own_server() -> Iterator[Database]:
    """A server of the test's own, for tests that crash it (costs about a second)."""
    with provide_database(own=True, in_memory=True) as database:
        yield database


@pytest.fixture(scope="session")
def installed_template(server: Database) -> Iterator[str]:
    """A database that holds the schema compat and nothing else: a template for other ones."""
    with server.fresh() as address:
        with psycopg.connect(address, autocommit=True) as connection:
            state.ensure_installed(connection)
        yield database_name(address)


@pytest.fixture
def template(request: pytest.FixtureRequest) -> str:
    """The database that a test's own is a copy of, which costs half of making it anew."""
    marked = request.node.get_closest_marker
    if marked("installed") is None or marked("bare") is not None:
        return EMPTY
    found: str = request.getfixturevalue("installed_template")
    return found


@pytest.fixture
def url(server: Database, template: str) -> Iterator[str]:
    """The address of an empty database; for tests marked `installed`, it has the schema compat."""
    with server.fresh(template=template) as address:
        yield address


@pytest.fixture
def conn(url: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit mode to the test's database."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
