"""The steps of a migration as statements: expand, cutover, back, contract, and back again.

Each list is meant for one transaction. View and functions stand ready before the cutover, which
then only renames, so that its locks are held for milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

from compat import constraints, sqltypes
from compat.compile import (
    bridge,
    foreign_keys,
    lookups,
    own_keys,
    partitions,
    policies,
    retired,
    reversal,
    sync,
    versions,
    view,
)
from compat.compile.functions import TARGET
from compat.compile.phases import (
    event,
    register,
    require_copied,
    require_phase,
    set_phase,
    unregister,
)
from compat.compile.shaped import copy as shaped
from compat.compile.shaped import numbers
from compat.compile.source import source
from compat.compile.versions import Older
from compat.mapping import Mapping
from compat.names import ident, idents, literal, qualified, regclass
from compat.rules import Cast, Lens
from compat.shapes import Parent
from compat.tables import Sequence, Table


def create_sync(mapping: Mapping) -> list[str]:
    """Return the statements that register the mapping and start the sync legacy → target."""
    if mapping.chosen_form == "reversed":
        return reversal.create_sync(mapping)
    return [
        f"LOCK TABLE {mapping.legacy.sql} IN SHARE ROW EXCLUSIVE MODE",
        *map(_require_empty(mapping), _filled(mapping)),
        *_require_alike(mapping),
        *lookups.require_parents(mapping),
        *foreign_keys.require_filled(mapping),
        *partitions.require_unmoved(mapping),
        *register(mapping),
        *own_keys.look(mapping, "DEFERRABLE INITIALLY DEFERRED"),
        *bridge.create(mapping),
        *([] if mapping.syncs_through_view else sync.create_forward(mapping)),
        *lookups.create(mapping),
    ]


def drop_sync(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_sync`."""
    if mapping.chosen_form == "reversed":
        return reversal.drop_sync(mapping)
    return [
        require_phase(mapping, "expanded", "copying", "copied"),
        lookups.require_no_children(mapping),
        *([] if mapping.syncs_through_view else sync.drop_forward(mapping)),
        *lookups.drop(mapping),
        *bridge.drop(mapping),
        *own_keys.look(mapping, "NOT DEFERRABLE"),
        *unregister(mapping),
    ]


def create_compat_view(mapping: Mapping) -> list[str]:
    """Return the statements that make the view under its standby name, and the reverse function."""
    if mapping.chosen_form == "reversed":
        return reversal.create_compat_view(mapping)
    return [
        *view.create_view(mapping),
        *sync.define_reverse(mapping),
        view.wear_looks_of(mapping.legacy.schema, mapping.standby_name, mapping.legacy),
        _withdraw(_standby(mapping)),
        *(sync.create_forward(mapping) if mapping.syncs_through_view else []),
        *(shaped.define(mapping) if mapping.copies_through_view else []),
    ]


def drop_compat_view(mapping: Mapping) -> list[str]:
    """Return the statements that undo `create_compat_view`."""
    if mapping.chosen_form == "reversed":
        return reversal.drop_compat_view(mapping)
    return [
        *([shaped.drop(mapping)] if mapping.copies_through_view else []),
        *(sync.drop_forward(mapping) if mapping.syncs_through_view else []),
        *view.drop_view(mapping),
        sync.drop_reverse_function(mapping),
    ]


def cutover(mapping: Mapping, older: tuple[Older, ...] = ()) -> list[str]:
    """Return the statements that put the view under the legacy name, in one transaction.

    :param older: the versions whose views read the legacy table, and go on reading the target

    Locks are taken in the order in which clients take them: what reads the legacy table through a
    view of its own; what references it, whose foreign keys look at it next; legacy; target. A
    session whose plan is from before a rollback takes view, then target, until it finds its plan
    outdated.
    """
    if mapping.chosen_form == "reversed":
        return reversal.cutover(mapping)
    legacy = mapping.legacy
    return [
        require_copied(mapping),
        *_require_alike(mapping),
        *_own(mapping),
        f"SELECT compat.lock_dependents({_regclass(legacy)})",
        _lock_referencing(legacy, "SHARE ROW EXCLUSIVE"),
        *versions.lock(older),
        f"LOCK TABLE {legacy.sql} IN ACCESS EXCLUSIVE MODE",
        "SELECT compat.hurry()",
        f"LOCK TABLE {mapping.standby} IN ACCESS EXCLUSIVE MODE",  # and, beneath it, the target
        versions.require_settled(mapping),
        versions.require(mapping, older),
        *versions.put_beneath(mapping, older),
        *sync.detach_forward(mapping),
        *own_keys.look(mapping, "DEFERRABLE INITIALLY IMMEDIATE"),
        *lookups.require_settled(mapping),
        _note_dependents(mapping, legacy),
        f"ALTER TABLE {legacy.sql} RENAME TO {ident(mapping.retired_name)}",
        f"ALTER VIEW {mapping.standby} RENAME TO {ident(legacy.name)}",
        _follow_name(mapping),
        _note_looks(mapping, _retired(mapping)),
        view.wear_looks_of(legacy.schema, legacy.name, _retired(mapping)),
        _withdraw(_retired(mapping)),
        *_own_sequences(mapping, legacy.sql, use=True),
        *_own_sequences_of(older, use=True),
        *sync.attach_reverse(mapping),
        retired.guard(mapping),
        *_defer_foreign_keys(mapping, is_deferred=True),
        f"SELECT compat.move_triggers({_regclass(_retired(mapping))}, {_regclass(legacy)})",
        f"SELECT compat.add_foreign_key_twins({literal(mapping.name)}, "
        f"{_regclass(_retired(mapping))}, {_column_arrays(mapping)[0]}, "
        f"{_regclass(mapping.target)}, {_column_arrays(mapping)[1]})",
        set_phase(mapping, "cutover"),
        event(mapping, "cutover"),
    ]


def uncutover(mapping: Mapping, older: tuple[Older, ...] = ()) -> list[str]:
    """Return the statements that put the legacy table back under its name.

    :param older: the versions whose views go back to reading it
    """
    if mapping.chosen_form == "reversed":
        return reversal.uncutover(mapping)
    legacy = mapping.legacy
    return [
        require_phase(mapping, "cutover"),
        versions.require(mapping, older),
        versions.require_topmost(mapping),
        *versions.lock(older),
        f"SELECT compat.lock_dependents({_regclass(legacy)})",
        _lock_referencing(_retired(mapping), "ACCESS EXCLUSIVE"),
        # Locks the view and, beneath it, the target, as the view's writers do.
        f"LOCK TABLE {legacy.sql} IN ACCESS EXCLUSIVE MODE",
        "SELECT compat.hurry()",
        f"LOCK TABLE {mapping.retired} IN ACCESS EXCLUSIVE MODE",
        f"SELECT compat.drop_foreign_key_twins({literal(mapping.name)})",
        *sync.detach_reverse(mapping),
        retired.unguard(mapping),
        *_defer_foreign_keys(mapping, is_deferred=False),
        f"SELECT compat.return_triggers({_regclass(_retired(mapping))}, {_regclass(legacy)})",
        _note_dependents(mapping, legacy),
        f"ALTER VIEW {legacy.sql} RENAME TO {ident(mapping.standby_name)}",
        f"ALTER TABLE {mapping.retired} RENAME TO {ident(legacy.name)}",
        _follow_name(mapping),
        view.wear_looks_of(legacy.schema, legacy.name, _standby(mapping)),
        _withdraw(_standby(mapping)),
        *_own_sequences(mapping, legacy.sql, use=False),
        *_own_sequences_of(older, use=False),
        *versions.take_from_beneath(mapping, older),
        *own_keys.look(mapping, "DEFERRABLE INITIALLY DEFERRED"),
        *sync.attach_forward(mapping),
        set_phase(mapping, "copied"),
        event(mapping, "rollback"),
    ]


def contract(mapping: Mapping) -> list[str]:
    """Return the statements that remove the view, the retired table and all that served them."""
    if mapping.chosen_form == "reversed":
        return reversal.contract(mapping)
    legacy = mapping.legacy
    return [
        require_phase(mapping, "cutover"),
        versions.require_above(mapping),
        f"LOCK TABLE {legacy.sql} IN ACCESS EXCLUSIVE MODE",
        f"UPDATE compat.mapping SET looks = compat.looks_of({_regclass(legacy)}) "
        f"|| compat.foreign_keys_of({_regclass(_retired(mapping))}) "
        f"WHERE name = {literal(mapping.name)}",
        f"SELECT compat.finish_foreign_key_twins({literal(mapping.name)})",
        *[
            f"ALTER SEQUENCE {sequence.sql} OWNED BY {_heir(mapping, sequence)}"
            for sequence in legacy.sequences
        ],
        *sync.detach_reverse(mapping),
        *own_keys.look(mapping, "NOT DEFERRABLE"),
        *lookups.drop(mapping),
        *view.drop_view(mapping, legacy.name),
        sync.drop_reverse_function(mapping),
        *sync.drop_forward_functions(mapping),
        *([shaped.drop(mapping)] if mapping.copies_through_view else []),
        *bridge.drop(mapping),
        *[line for drawn in bridge.drawn(mapping) for line in _draw(mapping, drawn, use=True)],
        f"DROP TABLE {mapping.retired}",
        set_phase(mapping, "contracted"),
        event(mapping, "contract"),
    ]


def uncontract(mapping: Mapping) -> list[str]:
    """Return the statements that bring view and retired table back, filled from the target."""
    if mapping.chosen_form == "reversed":
        return reversal.uncontract(mapping)
    legacy, name = mapping.legacy, literal(mapping.name)
    readable = [lens for lens in mapping.lenses if lens.legacy.generated is None]
    columns = idents([lens.legacy.name for lens in readable])
    reads = ", ".join(lens.read(TARGET) for lens in readable)
    legacy_columns, target_columns = _column_arrays(mapping)
    looks = f"(SELECT looks FROM compat.mapping WHERE name = {name})"
    return [
        require_phase(mapping, "contracted"),
        versions.require_above(mapping),
        versions.require_settled(mapping),
        versions.require_topmost(mapping),
        *[f"LOCK TABLE {table.sql} IN SHARE ROW EXCLUSIVE MODE" for table in mapping.tables],
        # First under the legacy name: references to itself and the functions speak of it.
        *create_table(legacy, legacy.name),
        f"INSERT INTO {legacy.sql} ({columns}) OVERRIDING SYSTEM VALUE\n"
        f"SELECT {reads} FROM {source(mapping)}",
        *add_constraints(legacy, legacy.name, foreign_keys=False),
        *[
            f"SELECT compat.restore_foreign_key({_regclass(legacy)}, {literal(item.name)}, "
            f"{looks}, {literal(item.definition)})"
            for item in legacy.constraints
            if item.kind == "foreign_key"
        ],
        f"SELECT compat.restore_following({_regclass(legacy)}, {looks})",
        *policies.enable(mapping),
        f"SELECT compat.wear({_regclass(legacy)}, {looks})",
        *cease_drawing(mapping),
        *own_keys.look(mapping, "DEFERRABLE INITIALLY IMMEDIATE"),
        *bridge.create(mapping, filled=True),
        *view.create_view(mapping),
        *sync.define_reverse(mapping),
        *sync.define_forward(mapping),
        *(shaped.define(mapping) if mapping.copies_through_view else []),
        *lookups.create(mapping),
        f"ALTER TABLE {legacy.sql} RENAME TO {ident(mapping.retired_name)}",
        f"ALTER VIEW {mapping.standby} RENAME TO {ident(legacy.name)}",
        view.wear_looks_of(legacy.schema, legacy.name, _retired(mapping)),
        _withdraw(_retired(mapping)),
        *_own_sequences(mapping, legacy.sql, use=True),
        *sync.attach_reverse(mapping),
        retired.guard(mapping),
        *_defer_foreign_keys(mapping, is_deferred=True),
        f"SELECT compat.reattach_foreign_keys({name}, {_regclass(_retired(mapping))}, "
        f"{legacy_columns}, {_regclass(mapping.target)}, {target_columns})",
        set_phase(mapping, "cutover"),
        event(mapping, "uncontract"),
    ]


def foreign_key_twin(mapping: Mapping, constraint: int) -> str:
    """Return the query for the definition of a foreign key's twin, which raises where none can be.

    :param constraint: oid of a foreign key that references the legacy table
    """
    legacy_columns, target_columns = _column_arrays(mapping)
    return (
        f"SELECT compat.foreign_key_definition({constraint}, {_regclass(mapping.target)}, "
        f"{legacy_columns}, {target_columns})"
    )


def create_table(table: Table, name: str) -> list[str]:
    """Return the statements that create a table of these columns, without constraints."""
    columns = ",\n    ".join(column_definition(table, column.name) for column in table.columns)
    return [f"CREATE TABLE {qualified(table.schema, name)} (\n    {columns}\n)"]


def column_definition(table: Table, name: str) -> str:
    """Return one column as CREATE TABLE spells it."""
    column = table.column(name)
    assert column is not None, name
    parts = [ident(column.name), column.type]
    if column.collation is not None:
        parts.append(f"COLLATE {column.collation}")
    if column.generated is not None:
        parts.append(f"GENERATED ALWAYS AS ({column.generated}) STORED")
    elif column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if not column.nullable:
        parts.append("NOT NULL")
    return " ".join(parts)


def add_constraints(table: Table, name: str, *, foreign_keys: bool = True) -> list[str]:
    """Return the statements that add a table's constraints and indexes under another name."""
    relation = qualified(table.schema, name)
    return [
        *[
            f"ALTER TABLE {relation} ADD CONSTRAINT {ident(item.name)} {item.definition}"
            for item in table.constraints
            if foreign_keys or item.kind != "foreign_key"
        ],
        *[
            f"CREATE {'UNIQUE ' * index.unique}INDEX {ident(index.name)} ON {relation} "
            f"{index.definition}"
            for index in table.indexes
        ],
    ]


def own_sequences(mapping: Mapping) -> list[str]:
    """Return the statements by which sequences serve view and target after the cutover."""
    return _own_sequences(mapping, mapping.legacy.sql, use=True)


def cease_drawing(mapping: Mapping) -> list[str]:
    """Return the statements by which the target leaves to the bridge what that draws for it."""
    return [line for drawn in bridge.drawn(mapping) for line in _draw(mapping, drawn, use=False)]


def _own_sequences(
    mapping: Mapping, owner: str, use: bool, kept: tuple[Table, ...] = ()
) -> list[str]:
    """Return the statements by which a sequence follows the legacy name.

    :param use: whether the target draws its own new keys from it too, so that the rows born on
        either side never take the same key
    :param kept: tables that go on drawing as they did
    """
    statements = []
    for sequence in mapping.legacy.sequences:
        lens = mapping.lens(sequence.column)
        statements.append(
            f"ALTER SEQUENCE {sequence.sql} OWNED BY {owner}.{ident(sequence.column)}"
        )
        target = lens.ends.target(lens.targets[0]) if lens.targets else None
        if (
            mapping.tag is not None
            or lens.part is not None
            or target is None
            or target.default is not None
            or target.identity is not None
            or sequence in bridge.drawn(mapping)
        ):
            continue
        statements += _draw(mapping, sequence, use, kept)
    if mapping.target not in kept:
        statements += numbers.draw(mapping) if use else numbers.cease(mapping)
    return statements


def _draw(
    mapping: Mapping, sequence: Sequence, use: bool, kept: tuple[Table, ...] = ()
) -> list[str]:
    """Return the statements by which the target draws its new keys from a sequence, or ceases."""
    column = ident(mapping.lens(sequence.column).targets[0])
    change = f"SET DEFAULT nextval({literal(sequence.sql)}::regclass)" if use else "DROP DEFAULT"
    return [
        f"ALTER TABLE {table.sql} ALTER COLUMN {column} {change}"
        for table in (mapping.target, *(choice.table for choice in mapping.choices))
        if table not in kept
    ]


def _defer_foreign_keys(mapping: Mapping, is_deferred: bool) -> list[str]:
    """Return the statement that defers foreign keys of the retired table, or undoes that.

    Only those that the target has too, where a client is told of a missing parent at once.
    """
    unmatched = constraints.unmatched(mapping)
    names = [
        literal(item.name)
        for item in constraints.keys(mapping.legacy)
        if item.kind == "foreign_key"
        and item not in unmatched
        and not constraints.is_deferred(item)
    ]
    if not names:
        return []
    listed = f"ARRAY[{', '.join(names)}]::text[]"
    return [
        f"SELECT compat.defer_foreign_keys({_regclass(_retired(mapping))}, {listed}, "
        f"{str(is_deferred).lower()})"
    ]


def _own_sequences_of(older: tuple[Older, ...], use: bool) -> list[str]:
    """Return the statements by which the target draws the keys of older versions, or no longer."""
    return [
        statement
        for item in older
        for statement in _own_sequences(item.composed, item.composed.legacy.sql, use, item.kept)
    ]


def _heir(mapping: Mapping, sequence: Sequence) -> str:
    """Return the target column that owns a sequence after contract, or NONE.

    PostgreSQL wants a sequence in the schema of its owner; elsewhere it stays on its own.
    """
    targets = mapping.lens(sequence.column).targets
    if not targets or mapping.target.schema != sequence.schema:
        return "NONE"
    return f"{mapping.target.sql}.{ident(targets[0])}"


def _filled(mapping: Mapping) -> list[Table]:
    """Return the tables whose rows, or those with the tag, all come from the legacy side.

    Parents may be there before; and so may halves of rows that are tagged otherwise.
    """
    if mapping.tag is not None:
        return [mapping.target]
    parents = [place.table for place in mapping.places if isinstance(place.part, Parent)]
    return [table for table in mapping.tables if table not in parents]


def _require_empty(mapping: Mapping) -> Callable[[Table], str]:
    def check(table: Table) -> str:
        if mapping.tag is None:
            return f"SELECT compat.require_empty({_regclass(table)})"
        return (
            f"SELECT compat.require_untagged({_regclass(table)}, {literal(mapping.tag.column)}, "
            f"{literal(str(mapping.tag.value))})"
        )

    return check


def _column_arrays(mapping: Mapping) -> tuple[str, str]:
    """Return what foreign keys may follow, as two SQL arrays: legacy names, target names."""
    pairs = [(lens.legacy.name, lens.key_column) for lens in mapping.lenses if _followed(lens)]
    legacy, target = (", ".join(literal(pair[i]) for pair in pairs) for i in (0, 1))
    return f"ARRAY[{legacy}]::text[]", f"ARRAY[{target}]::text[]"


def _followed(lens: Lens) -> bool:
    """True when a referencing column may reference the target column as well as the legacy one."""
    if lens.part is not None:
        return False
    if not lens.converts or lens.keeps_number:
        return True
    types = (lens.legacy.type, lens.ends.target(lens.targets[0]).type) if lens.targets else ()
    return (
        isinstance(lens.rule, Cast)
        and lens.rule.factor is None
        and all(sqltypes.parse(text).is_integer for text in types)
    )


def _retired(mapping: Mapping) -> Table:
    return _named(mapping.legacy, mapping.retired_name)


def _standby(mapping: Mapping) -> Table:
    return _named(mapping.legacy, mapping.standby_name)


def _named(table: Table, name: str) -> Table:
    return Table(table.schema, name, table.columns)


def _regclass(table: Table) -> str:
    return regclass(table.schema, table.name)


def _require_alike(mapping: Mapping) -> list[str]:
    return [
        policies.require(mapping, mapping.legacy.name),
        *[
            f"SELECT compat.require_alike({_regclass(mapping.legacy)}, {_regclass(table)})"
            for table in mapping.tables
        ],
    ]


# What defines or gives away a function, in statements that can be repeated.
_OWNING = ("SELECT compat.own(", "SELECT compat.define_references(")


def _own(mapping: Mapping) -> list[str]:
    """Return the statements that give all to its owner, who may be another one by now."""
    generated = [*create_sync(mapping), *create_compat_view(mapping)]
    return [
        f"SELECT compat.give_view({_regclass(_standby(mapping))}, {_regclass(mapping.legacy)})",
        *[statement for statement in generated if statement.startswith(_OWNING)],
    ]


def _withdraw(table: Table) -> str:
    return f"SELECT compat.withdraw({_regclass(table)})"


def _note_looks(mapping: Mapping, table: Table) -> str:
    return (
        f"UPDATE compat.mapping SET looks = compat.looks_of({_regclass(table)}) "
        f"WHERE name = {literal(mapping.name)}"
    )


def _note_dependents(mapping: Mapping, table: Table) -> str:
    return f"SELECT compat.note_dependents({literal(mapping.name)}, {_regclass(table)})"


def _follow_name(mapping: Mapping) -> str:
    return f"SELECT compat.follow_name({literal(mapping.name)})"


def _lock_referencing(table: Table, mode: str) -> str:
    return f"SELECT compat.lock_referencing({_regclass(table)}, {literal(mode)})"
