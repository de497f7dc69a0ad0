"""What clients of the legacy table and of v2 do: random statements as values.

A new kind of statement is one more function in CLIENT; it draws what it needs from the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from compat import rules
from compat.names import ident, idents
from tests.compat.twins.tables import TABLE, Block, Tables, one_in

SIDE = "⟦side⟧"
"""Stands for something that differs between the view and the twin: names of prepared statements."""

FAR = 1000
"""Keys below it move that far: no order of the rows makes two of them meet on the way."""


@dataclass(frozen=True)
class Statement:
    """One statement for the view and the twin.

    :param sql: with TABLE and SIDE for what differs between the two
    :param behaviour: its row in `compat.fidelity`, None for what no row speaks of
    :param keeps: what an UPDATE leaves alone, `hidden` also of rows whose keys move
    """

    sql: str
    behaviour: str | None = None
    keeps: str | None = None

    def on(self, table: str, side: str) -> str:
        """Return the statement for one of the two."""
        return self.sql.replace(TABLE, table).replace(SIDE, side)


@dataclass(frozen=True)
class CopyIn:
    """COPY … FROM STDIN with rows that a query over no table gives."""

    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Undone:
    """Statements in a savepoint that is rolled back."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Written:
    """A statement that a v2 application says to the target, for which TABLE stands.

    Without TABLE it is for any of several tables that rows are in.
    """

    sql: str


@dataclass(frozen=True)
class Turn:
    """The cutover, or after that the rollback."""


@dataclass(frozen=True)
class Contracted:
    """After the cutover: contract, and that taken back."""


Step = Statement | CopyIn | Undone | Written | Turn | Contracted


@dataclass(frozen=True)
class Case:
    """One random migration.

    :param prepared: statements that clients prepare before anything happens
    """

    tables: Tables
    rows: tuple[Statement, ...]
    prepared: tuple[Statement, ...]
    steps: tuple[Step, ...]

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text("…")  # hypothesis need not print it: what came of it is told as a script


# -- parts of statements -------------------------------------------------------------------------


def given(draw: Any, block: Block) -> str:
    """Draw a value for a column, once in a while one that is refused."""
    if one_in(draw, 25):
        return "NULL"
    if block.refused is not None and one_in(draw, 12):
        return str(draw(block.refused))
    return str(draw(block.values))


def condition(draw: Any, tables: Tables) -> str:
    """Draw a predicate over the legacy columns."""
    if one_in(draw, 4):
        return "true"
    if draw(st.booleans()):
        block = draw(st.sampled_from(tables.key))
        operator = draw(st.sampled_from(["=", "=", "<>", ">="]))
        return f"{ident(block.name)} {operator} {draw(block.values)}"
    block = draw(st.sampled_from(tables.blocks))
    name = ident(block.name)
    found: str = draw(
        st.sampled_from(["true", "false", f"{name} IS NULL", f"{name} IS NOT NULL"])
        | block.values.map(f"{name} = {{}}".format)
        | block.values.map(f"{name} IS DISTINCT FROM {{}}".format)
        | block.values.map(f"{name} <= {{}}".format)
    )
    return found


def returning(draw: Any, tables: Tables) -> str:
    """Draw RETURNING, of everything, of the key, or nothing."""
    key = idents([block.name for block in tables.key])
    return str(draw(st.sampled_from(["", " RETURNING *", f" RETURNING {key}"])))


def one_row(draw: Any, tables: Tables) -> str:
    """Draw a predicate that one row meets at most."""
    return " AND ".join(f"{ident(block.name)} = {draw(block.values)}" for block in tables.key)


def some(draw: Any, tables: Tables, at_least: int = 0) -> list[Block]:
    """Draw columns that are not in the key."""
    if not tables.others:
        return []
    others = st.sampled_from(tables.others)
    return list(draw(st.lists(others, min_size=at_least, max_size=3, unique_by=id)))


def _constant(found: list[Block] | tuple[Block, ...]) -> str | None:
    is_constant = any(isinstance(block.rule, rules.Constant) for block in found)
    return "writing a constant column" if is_constant else None


# -- statements ----------------------------------------------------------------------------------


def insert(draw: Any, tables: Tables) -> Statement:
    """All columns or some, several rows, with or without the key that a sequence gives."""
    everything = draw(st.booleans())
    found = list(tables.blocks) if everything else [*tables.key, *some(draw, tables)]
    if not everything and all(b.is_serial for b in tables.key) and draw(st.booleans()):
        found = [block for block in found if block not in tables.key]
    if not found:
        return Statement(f"INSERT INTO {TABLE} DEFAULT VALUES{returning(draw, tables)}")
    columns = "" if everything else f" ({idents([block.name for block in found])})"
    values = ", ".join(
        f"({', '.join(_or_default(draw, block) for block in found)})"
        for _ in range(draw(st.integers(1, 3)))
    )
    conflict, behaviour = "", _constant(found)
    if one_in(draw, 8):
        conflict, behaviour = _on_conflict(draw, tables, found)
    return Statement(
        f"INSERT INTO {TABLE}{columns} VALUES {values}{conflict}{returning(draw, tables)}",
        behaviour,
    )


def _or_default(draw: Any, block: Block) -> str:
    return "DEFAULT" if one_in(draw, 8) else given(draw, block)


def _on_conflict(draw: Any, tables: Tables, found: list[Block]) -> tuple[str, str]:
    key = idents([block.name for block in tables.key])
    others = [b for b in found if b not in tables.key]
    choices = [(" ON CONFLICT DO NOTHING", "ON CONFLICT DO NOTHING")]
    choices.append((f" ON CONFLICT ({key}) DO NOTHING", "ON CONFLICT (columns)"))
    if others and _constant(others) is None:
        sets = ", ".join(f"{ident(b.name)} = excluded.{ident(b.name)}" for b in others)
        choices.append((f" ON CONFLICT ({key}) DO UPDATE SET {sets}", "ON CONFLICT (columns)"))
    clause: tuple[str, str] = draw(st.sampled_from(choices))
    return clause


def insert_select(draw: Any, tables: Tables) -> Statement:
    """Rows made from rows that are there, under keys that are not."""
    if not _keys_can_move(tables):
        return select(draw, tables)
    found = [block for block in tables.others if not isinstance(block.rule, rules.Constant)]
    key = ", ".join(f"{ident(b.name)} + {FAR}" for b in tables.key)
    columns = idents([b.name for b in (*tables.key, *found)])
    values = ", ".join([key, *(ident(b.name) for b in found)])
    where = condition(draw, tables)
    return Statement(
        f"INSERT INTO {TABLE} ({columns}) SELECT {values} FROM {TABLE} WHERE {where}"
        f"{returning(draw, tables)}"
    )


def _keys_can_move(tables: Tables) -> bool:
    return all(block.is_integer for block in tables.key)


def update(draw: Any, tables: Tables) -> Statement:
    """Any columns, to values, to their defaults or to themselves."""
    found = some(draw, tables, at_least=1)
    if not found:
        return move_key(draw, tables)
    sets = ", ".join(f"{ident(b.name)} = {_changed(draw, b)}" for b in found)
    where = condition(draw, tables)
    return Statement(
        f"UPDATE {TABLE} SET {sets} WHERE {where}{returning(draw, tables)}",
        _constant(found),
        "key and hidden",
    )


def _changed(draw: Any, block: Block) -> str:
    if one_in(draw, 6):
        return str(draw(st.sampled_from(["DEFAULT", ident(block.name)])))
    return given(draw, block)


def move_key(draw: Any, tables: Tables) -> Statement:
    """One row gets another key, or all rows that meet a predicate move far away."""
    if _keys_can_move(tables) and draw(st.booleans()):
        sets = ", ".join(f"{ident(b.name)} = {ident(b.name)} + {FAR}" for b in tables.key)
        near = [f"{ident(block.name)} < {FAR}" for block in tables.key]
        where = " AND ".join([condition(draw, tables), *near])
    else:
        sets = ", ".join(f"{ident(b.name)} = {draw(b.values)}" for b in tables.key)
        where = one_row(draw, tables)
    return Statement(
        f"UPDATE {TABLE} SET {sets} WHERE {where}{returning(draw, tables)}", keeps="hidden"
    )


def update_from(draw: Any, tables: Tables) -> Statement:
    """A join with values: for each key at most one row."""
    found = some(draw, tables, at_least=1)[:1]
    if not found:
        return move_key(draw, tables)
    (block,), first = found, tables.key[0]
    keys = draw(st.lists(first.values, min_size=1, max_size=3, unique=True))
    rows = ", ".join(f"({key}::{first.kind}, {given(draw, block)}::{block.kind})" for key in keys)
    return Statement(
        f"UPDATE {TABLE} AS x SET {ident(block.name)} = s.b FROM (VALUES {rows}) AS s (a, b)"
        f" WHERE x.{ident(first.name)} = s.a",
        _constant(found),
        "key and hidden",
    )


def delete(draw: Any, tables: Tables) -> Statement:
    """Rows that meet a predicate."""
    return Statement(
        f"DELETE FROM {TABLE} WHERE {condition(draw, tables)}{returning(draw, tables)}"
    )


def delete_using(draw: Any, tables: Tables) -> Statement:
    """Rows that a join finds, each twice."""
    first = tables.key[0]
    key = draw(first.values)
    return Statement(
        f"DELETE FROM {TABLE} AS x USING (VALUES ({key}::{first.kind}), ({key}::{first.kind}))"
        f" AS s (a) WHERE x.{ident(first.name)} = s.a"
    )


def select(draw: Any, tables: Tables) -> Statement:
    """Rows in an order, aggregates, groups, locks."""
    where = condition(draw, tables)
    key = idents([block.name for block in tables.key])
    name = ident(draw(st.sampled_from(tables.blocks)).name)
    if one_in(draw, 6):
        return Statement(f"SELECT * FROM {TABLE} WHERE {where} FOR UPDATE", FOR_UPDATE)
    return Statement(
        draw(
            st.sampled_from(
                [
                    f"SELECT * FROM {TABLE} WHERE {where} ORDER BY {key} LIMIT 2",
                    f"SELECT count(*), count({name}) FROM {TABLE} WHERE {where}",
                    f"SELECT {name}, count(*) FROM {TABLE} GROUP BY {name}",
                    f"SELECT row_number() OVER (ORDER BY {name}, {key}), {key} FROM {TABLE}",
                    f"SELECT count(*) FROM {TABLE} a JOIN {TABLE} b USING ({name})",
                ]
            )
        )
    )


def chained(draw: Any, tables: Tables) -> Statement:
    """A write whose rows a query goes on with."""
    written = draw(st.sampled_from([delete, update]))(draw, tables)
    head = written.sql.split(" RETURNING ")[0]
    return Statement(
        f"WITH written AS ({head} RETURNING *) SELECT count(*) FROM written", written.behaviour
    )


def copy_in(draw: Any, tables: Tables) -> CopyIn:
    """Up to three rows of some columns."""
    found = [*tables.key, *some(draw, tables)]
    rows = ", ".join(
        f"({', '.join(f'{given(draw, block)}::{block.kind}' for block in found)})"
        for _ in range(draw(st.integers(1, 3)))
    )
    return CopyIn(tuple(block.name for block in found), f"VALUES {rows}")


def merge(draw: Any, tables: Tables) -> Statement:
    """Changes a row that is there, or makes it."""
    found = [block for block in some(draw, tables) if not isinstance(block.rule, rules.Constant)]
    keys = [f"{draw(block.values)}::{block.kind}" for block in tables.key]
    on = " AND ".join(
        f"x.{ident(block.name)} = {key}" for block, key in zip(tables.key, keys, strict=True)
    )
    columns = idents([block.name for block in (*tables.key, *found)])
    values = ", ".join([*keys, *(given(draw, block) for block in found)])
    sets = ", ".join(f"{ident(b.name)} = {given(draw, b)}" for b in found)
    matched = f"UPDATE SET {sets}" if found else "DELETE"
    return Statement(
        f"MERGE INTO {TABLE} AS x USING (SELECT 1) AS s ON {on} WHEN MATCHED THEN {matched}"
        f" WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})",
        "MERGE",
    )


FOR_UPDATE = "SELECT … FOR UPDATE, SKIP LOCKED"

Drawing = Callable[[Any, Tables], Any]

CLIENT: tuple[Drawing, ...] = (
    *(insert,) * 4,
    insert_select,
    *(update,) * 4,
    update_from,
    move_key,
    *(delete,) * 2,
    delete_using,
    select,
    select,
    chained,
)
"""What clients do, as often as it stands here."""


# -- v2 ------------------------------------------------------------------------------------------


def v2_insert(draw: Any, tables: Tables) -> Written:
    row = {
        name: draw(values)
        for block in tables.blocks
        for name, values in block.born.items()
        if block in tables.key or draw(st.booleans())
    }
    row |= tables.filled
    return Written(f"INSERT INTO {TABLE} ({idents(list(row))}) VALUES ({', '.join(row.values())})")


def v2_update(draw: Any, tables: Tables) -> Written:
    born = {n: values for block in tables.others for n, values in block.born.items()}
    if not born:
        return v2_delete(draw, tables)
    name = draw(st.sampled_from(list(born)))
    return Written(
        f"UPDATE {TABLE} SET {ident(name)} = {draw(born[name])} WHERE {_v2_row(draw, tables)}"
    )


def v2_delete(draw: Any, tables: Tables) -> Written:
    return Written(f"DELETE FROM {TABLE} WHERE {_v2_row(draw, tables)}")


def _v2_row(draw: Any, tables: Tables) -> str:
    ((name, values),) = draw(st.sampled_from(tables.key)).born.items()
    return f"{ident(name)} = {draw(values)}"


V2: tuple[Drawing, ...] = (v2_insert, v2_update, v2_update, v2_delete)


# -- cases ---------------------------------------------------------------------------------------


@st.composite
def steps(draw: Any, tables: Tables, prepared: tuple[Statement, ...], version: int) -> Step:
    """Something that happens: mostly a statement of a client."""
    kind = draw(st.integers(1, 20))
    choices = CLIENT
    if kind in (13, 14) and prepared:
        number = draw(st.integers(0, len(prepared) - 1))
        return Statement(f'EXECUTE "{number} {SIDE}"', None, prepared[number].keeps)
    if kind in (15, 16) and tables.shape.v2:
        return Written(draw(draw(st.sampled_from(tables.shape.v2))))
    if kind in (15, 16) and tables.shape.takes_v2:
        choices = V2
    if kind == 17:
        return Turn()
    if kind == 18:
        choices = (copy_in, merge) if version >= 15 else (copy_in,)
    if kind == 19:
        return Undone(tuple(draw(st.sampled_from(CLIENT))(draw, tables) for _ in range(2)))
    if kind == 20:
        return Contracted()
    found: Step = draw(st.sampled_from(choices))(draw, tables)
    return found


def _first_row(draw: Any, tables: Tables) -> Statement:
    columns = idents([block.name for block in tables.blocks])
    values = ", ".join(str(draw(block.values)) for block in tables.blocks)
    return Statement(f"INSERT INTO {TABLE} ({columns}) VALUES ({values})")


@st.composite
def cases(draw: Any, tables: st.SearchStrategy[Tables], version: int) -> Case:
    """A migration with rows before it, and steps before, between and after its cutovers.

    :param version: PostgreSQL's major version
    """
    found = draw(tables)
    rows = [_first_row(draw, found) for _ in range(draw(st.integers(0, 4)))]
    choices: list[Drawing] = [insert, update, delete, select]
    prepared = tuple(
        statement
        for _ in range(draw(st.integers(0, 2)))
        if (statement := draw(st.sampled_from(choices))(draw, found)).behaviour is None
    )
    step = steps(found, prepared, version)
    before = draw(st.lists(step, max_size=3))
    after = draw(st.lists(step, min_size=3, max_size=9))
    return Case(found, tuple(rows), prepared, (*before, Turn(), *after))


__all__ = [
    "Case",
    "Contracted",
    "CopyIn",
    "Statement",
    "Step",
    "Turn",
    "Undone",
    "Written",
    "cases",
]
