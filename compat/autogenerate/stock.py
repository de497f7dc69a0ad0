"""What Alembic's own comparison found that belongs to a migration, and is left out of revisions.

After a cutover the database holds a view where the models still have a table, a table that no model
knows, and foreign keys in pairs. None of it is for a revision to mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import ops

from compat.bridge import bridge_of, carrier_of, is_bridge
from compat.compile import lookups, own_keys
from compat.mapping import Mapping

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

Name = tuple[str | None, str]
"""Schema, None for the default one, and name, as Alembic writes them."""

_RETIRED = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgfoid = pg_catalog.to_regproc('compat.refuse_late_write')
"""
_TWINS = """
SELECT n.nspname, c.relname, k.conname FROM compat.foreign_key f
JOIN pg_catalog.pg_class c ON c.oid = f.referencing
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.conname IN (f.name, f.twin_name)
JOIN compat.mapping m ON m.name = f.mapping AND m.phase = 'cutover'
"""
_DEFERRED = """
SELECT n.nspname, c.relname, d.name FROM compat.deferred_index d
JOIN compat.mapping m ON m.name = d.mapping
JOIN pg_catalog.pg_namespace n ON n.nspname = m.document #>> '{target,schema}'
JOIN pg_catalog.pg_class c ON c.relname = m.document #>> '{target,name}' AND c.relnamespace = n.oid
"""
_INDEXES_OVER = """
SELECT n.nspname, c.relname, i.relname FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class i ON i.oid = d.objid AND i.relkind IN ('i', 'I')
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE n.nspname = :schema AND c.relname = :name AND a.attname = ANY (:columns)
"""


@dataclass(frozen=True)
class Ours:
    """What belongs to the migrations of a database; tables by the names that Alembic uses."""

    legacy: frozenset[Name]
    """Names that are views at the moment, and were tables before."""
    retired: frozenset[Name]
    """Retired tables, and empty targets that stand aside."""
    parts: frozenset[tuple[Name, str]]
    """What belongs to us of other tables, each with its table: foreign keys of which a cutover has
    made two, both of each pair; bridge columns and indexes over them; indexes that a copy has
    dropped and builds again; foreign keys to itself, which are deferrable for the time being."""


def leave_out(context: AutogenContext, upgrade: ops.UpgradeOps) -> None:
    """Remove from what Alembic has found what belongs to migrations; also views of the user's own,

    which SQLAlchemy (CreateView) keeps in the metadata like tables, and Alembic would create so.
    """
    ours = _ours(context)
    upgrade.ops[:] = _kept(context, ours, upgrade.ops)


def _kept(
    context: AutogenContext, ours: Ours, operations: list[ops.MigrateOperation]
) -> list[ops.MigrateOperation]:
    kept = []
    for operation in operations:
        if isinstance(operation, ops.ModifyTableOps):
            table = (operation.schema, operation.table_name)
            if table in ours.retired or table in ours.legacy or _is_view(context, table):
                continue
            operation.ops[:] = [
                item for item in operation.ops if not _is_ours_on(ours, table, item)
            ]
            if operation.is_empty():
                continue
        elif _is_ours(context, ours, operation):
            continue
        kept.append(operation)
    return kept


def _is_ours(context: AutogenContext, ours: Ours, operation: ops.MigrateOperation) -> bool:
    if isinstance(operation, ops.CreateTableOp):
        table = (operation.schema, operation.table_name)
        return table in ours.legacy or _is_view(context, table)
    if isinstance(operation, ops.DropTableOp):
        table = (operation.schema, operation.table_name)
        return table in ours.retired
    return False


def _is_ours_on(ours: Ours, table: Name, operation: ops.MigrateOperation) -> bool:
    if isinstance(operation, ops.CreateForeignKeyOp):
        columns = (table, _key_over(operation.local_cols))
        referent = (operation.kw.get("referent_schema"), operation.referent_table)
        return referent in ours.legacy or columns in ours.parts
    if isinstance(operation, ops.DropConstraintOp):
        return (table, operation.constraint_name) in ours.parts
    if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
        return (table, operation.index_name) in ours.parts
    if isinstance(operation, ops.DropColumnOp):
        return (table, operation.column_name) in ours.parts
    return False


def _key_over(columns: Iterable[str]) -> str:
    """Return by what a foreign key without a name is known among the parts of a table."""
    return f"FOREIGN KEY ({', '.join(columns)})"


def _is_view(context: AutogenContext, table: Name) -> bool:
    known = context.table_key_to_table.get(".".join(filter(None, table)))
    return known is not None and known.is_view


def _ours(context: AutogenContext) -> Ours:
    connection = context.connection
    assert connection is not None
    if connection.scalar(sa.text("SELECT to_regclass('compat.mapping')")) is None:
        return Ours(frozenset(), frozenset(), frozenset())
    default = context.dialect.default_schema_name

    def named(schema: str, name: str) -> Name:
        return (None if schema == default else schema, name)

    def parts(query: str, **parameters: Any) -> Iterator[tuple[Name, str]]:
        for schema, table, part in connection.execute(sa.text(query), parameters):
            yield named(schema, table), part

    retired = {named(*row) for row in connection.execute(sa.text(_RETIRED))}
    legacy, found = set(), {*parts(_TWINS), *parts(_DEFERRED)}
    for document, phase in connection.execute(
        sa.text("SELECT document::text, phase FROM compat.mapping WHERE phase <> 'contracted'")
    ):
        mapping = Mapping.from_json(document)
        if phase == "cutover":
            legacy.add(named(mapping.view_of.schema, mapping.view_of.name))
            if mapping.chosen_form == "reversed":
                retired.add(named(mapping.target.schema, mapping.aside_name))
        target = named(mapping.target.schema, mapping.target.name)
        found |= {(target, name) for name in lookups.indexes(mapping)}
        for key in own_keys.keys(mapping):
            found |= {(target, key.name), (target, _key_over(key.columns))}
        if is_bridge(mapping):
            carrier = carrier_of(mapping)
            columns = [column.name for column in bridge_of(mapping).added]
            found |= {(named(carrier.schema, carrier.name), column) for column in columns}
            found |= {
                *parts(_INDEXES_OVER, schema=carrier.schema, name=carrier.name, columns=columns)
            }
    return Ours(frozenset(legacy), frozenset(retired), frozenset(found))
