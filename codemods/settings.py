"""What a user may ask for beyond the mappings, when Python files are rewritten."""

from __future__ import annotations

from dataclasses import dataclass

from compat.errors import CompatError


@dataclass(frozen=True)
class TableCall:
    """A function or method that takes the name of a table, and perhaps of its columns, as text.

    :param function: the last part of its name, as in `connection.copy_from(…)`
    :param table: position of the argument, from 0
    :param keyword: name of the same argument
    :param columns: names of arguments that list columns of the database
    :param position: position of the first of those, None if only by keyword
    :param by_name: the table's columns go by name through something that is not in the call (a
        data frame, a result), so that a table with other column names would break it
    :param needs_columns: without a list of columns their order counts
    """

    function: str
    table: int | None = 0
    keyword: str = "table_name"
    columns: tuple[str, ...] = ("columns",)
    position: int | None = None
    by_name: bool = False
    needs_columns: bool = False

    @staticmethod
    def parse(text: str) -> TableCall:
        """Return the call that `FUNCTION[:TABLE[:COLUMNS]]` describes.

        TABLE and COLUMNS are positions from 0 or names of arguments: `load_rows:1:columns`.

        :raises CompatError: no name of a function, or too many parts
        """
        function, *places = text.split(":")
        if not function.isidentifier() or len(places) > 2 or not all(places):
            raise CompatError(
                f"{text!r} describes no call", "write FUNCTION[:TABLE[:COLUMNS]], as load_rows:1"
            )
        table = places[0] if places else "0"
        columns = places[1] if len(places) > 1 else "columns"
        return TableCall(
            function,
            int(table) if table.isdigit() else None,
            "table_name" if table.isdigit() else table,
            () if columns.isdigit() else (columns,),
            int(columns) if columns.isdigit() else None,
        )


TABLE_CALLS = (
    TableCall("to_sql", keyword="name", by_name=True),
    TableCall("read_sql_table", by_name=True),
    TableCall("write_database", by_name=True),
    TableCall("copy_from", 1, "table", needs_columns=True),
    TableCall("copy_to", 1, "table", needs_columns=True),
    TableCall("copy_records_to_table", needs_columns=True),
    TableCall("copy_to_table", needs_columns=True),
    TableCall("copy_from_table", needs_columns=True),
    TableCall("has_table"),
    TableCall("get_columns", by_name=True),
    TableCall("get_pk_constraint", by_name=True),
    TableCall("get_foreign_keys", by_name=True),
    TableCall("get_indexes", by_name=True),
    TableCall("get_unique_constraints", by_name=True),
)
"""Of pandas, polars, psycopg2, asyncpg and SQLAlchemy's inspector."""

TABLE_KEYWORDS = frozenset(("table", "table_name", "tablename"))
"""Arguments that name a table in calls of any function."""


@dataclass(frozen=True)
class Settings:
    """How Python files are rewritten.

    :param attributes: rename attributes and keys of models as well, wherever they are used
    :param migrations: rewrite Alembic revisions and Django migrations, which tell the past
    :param calls: functions that take a table's name as plain text
    """

    attributes: bool = False
    migrations: bool = False
    calls: tuple[TableCall, ...] = TABLE_CALLS
