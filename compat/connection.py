"""Connecting: URLs as users have them, session settings as the tools need them, clear refusals.

Passwords never appear in messages; they are not put on command lines either (use the environment).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from compat.errors import CompatError, ConnectionFailed

Connection = psycopg.Connection[Any]
Result = TypeVar("Result")

URL_VARIABLES = ("COMPAT_DATABASE_URL", "DATABASE_URL")

SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "row_security": "off",
}
"""Values pass between sessions as text, and are compared and shown so: what they mean is pinned.

A role to whom policies do not show every row gets an error instead of some of them.
"""


def resolve_url(url: str | None) -> str:
    """Return the URL that was given, else the one in the environment.

    :raises ConnectionFailed: neither
    """
    found = url or next((os.environ[name] for name in URL_VARIABLES if os.environ.get(name)), None)
    if not found:
        raise ConnectionFailed(
            "no database was named",
            f"give --url postgresql://user@host/database or set {' or '.join(URL_VARIABLES)}",
        )
    # SQLAlchemy's spelling names a driver, libpq's does not.
    return re.sub(r"^postgres(?:ql)?\+\w+://", "postgresql://", found)


def redact(url: str) -> str:
    """Return the connection string without its password, as messages may show it."""
    parts = conninfo_to_dict(url)
    shown = {k: str(v) for k, v in parts.items() if v is not None and "password" not in k}
    return make_conninfo(**shown)


def url_of(conn: Connection) -> str:
    """Return the connection string, password included, by which a worker reaches the same database.

    For programs only: never to be shown.
    """
    return make_conninfo(conn.info.dsn, password=conn.info.password or None)


def _require_readable(url: str) -> None:
    """Refuse what libpq cannot parse, or parses so that a part of the password becomes a name.

    :raises ConnectionFailed: quotes nothing of the URL, since any part may be the password
    """
    is_url = re.match(r"\w+://", url) is not None  # else `host=… password=…`
    rest = url.partition("://")[2] if is_url else ""
    authority, _, path = rest.partition("?")[0].partition("/")
    unclear = authority.count("@") > 1 or ("@" not in authority and "@" in path)
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        unclear = True
    if unclear:
        raise ConnectionFailed(
            "the database URL cannot be read",
            "write postgresql://user:password@host:port/database, with every / @ : ? # % and "
            "space inside a part percent-encoded (an @ is %40)",
        )


@contextmanager
def connect(url: str | None, *, autocommit: bool = True, purpose: str = "") -> Iterator[Connection]:
    """Yield a connection with the tools' settings; closes it, and rolls back what is open.

    :param purpose: appended to the application name, which pg_stat_activity shows
    :raises ConnectionFailed: the server does not answer or refuses
    """
    resolved = resolve_url(url)
    _require_readable(resolved)
    name = f"compat {purpose}".strip()
    try:
        conn = psycopg.connect(
            resolved,
            autocommit=autocommit,
            application_name=name,
            connect_timeout=10,
            client_encoding="utf8",  # also of a database that is not: names and values may be any
        )
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no answer"
        raise ConnectionFailed(
            f"cannot connect to {redact(resolved)}: {reason}",
            "check host, port, database, user and password (PGPASSWORD or ~/.pgpass)",
        ) from None
    try:
        _let_go_when_killed(conn)
        with conn.cursor() as cursor:
            for setting, value in SETTINGS.items():
                cursor.execute("SELECT set_config(%s, %s, false)", [setting, value])
            if not autocommit:
                conn.commit()
        yield conn
    finally:
        conn.close()


def _let_go_when_killed(conn: Connection) -> None:
    """Let the server look, also during a statement, whether this program is still there.

    By itself it only notices when it has an answer to send: a command that is killed while it waits
    for a lock would go on waiting, with all clients queueing behind it.
    """
    # Where the server's operating system cannot tell, the setting is refused.
    with suppress(psycopg.errors.InvalidParameterValue), conn.transaction():
        conn.execute("SET client_connection_check_interval = '500ms'")


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what PostgreSQL refuses on purpose into an error that a user can act on."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise CompatError(
            error.diag.message_primary or "permission denied",
            "run as the owner of the legacy and the target table (or a member of that role), who "
            "may also create the schema `compat`",
        ) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise CompatError(
            f"the database is read-only: {error.diag.message_primary}", "connect to the primary"
        ) from error
    except psycopg.Error as error:
        if _is_due_to_interrupt(error):
            raise KeyboardInterrupt from error
        diag = error.diag
        if diag.message_primary is None or _ends_connection(diag.sqlstate):
            raise ConnectionFailed(
                f"the connection was lost: {str(error).strip().splitlines()[0]}",
                "run the command again: it takes up where it stopped",
            ) from error
        lines = [f"{diag.message_primary} (SQLSTATE {diag.sqlstate})"]
        if diag.message_detail:
            lines.append(diag.message_detail)
        raise CompatError("\n  ".join(lines), diag.message_hint) from error


def despite_interrupt(act: Callable[[], Result]) -> Result:
    """Do what is still to be done after a Ctrl-C, and return what it gives.

    psycopg asks the server to cancel the statement that was interrupted. Where that comes late, it
    ends the next one, which is then said again.
    """
    try:
        return act()
    except psycopg.errors.QueryCanceled:
        return act()


def _is_due_to_interrupt(error: BaseException) -> bool:
    """True for what psycopg makes of a Ctrl-C that comes as it leaves a nested transaction."""
    context = error.__context__
    return context is not None and (
        isinstance(context, KeyboardInterrupt) or _is_due_to_interrupt(context)
    )


def _ends_connection(sqlstate: str | None) -> bool:
    """True for what a server says as it shuts down, crashes, or ends one connection."""
    return sqlstate is not None and sqlstate.startswith(("08", "57P"))
