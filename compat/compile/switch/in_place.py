"""Between forms in which the target has the rows: the view is replaced, and what serves it.

Towards `bridged` the target gets the columns of the bridge first. Until the view uses them a
trigger derives them for every row that is written, whoever writes it, and the copy for all others.
"""

from __future__ import annotations

import dataclasses

from compat.bridge import bridge_of
from compat.compile import bridge, replace, swap, sync
from compat.compile.functions import TARGET, drop_function, indented, trigger_function
from compat.compile.phases import event, require_phase
from compat.compile.switch.state import become, begun, unbegun
from compat.mapping import Mapping
from compat.names import ident, regclass
from compat.rules import NEW, Column, Row
from compat.shapes import Fill
from compat.tables import Column as TableColumn
from compat.tables import Constraint, Table

_PURPOSE = "bridge_derive"
# Fires last: what other triggers, those of a lookup too, put into the row is in it by then.
_TRIGGER = "~compat_bridge_derive"


def between(before: Mapping, after: Mapping) -> Mapping:
    """Return the mapping by which the copy derives the bridge of the rows that are there.

    In the form `reversed`, whose copy fills columns of the rows where they are. That its marker is
    called as the bridge's, dummies for the names of the legacy columns see to.

    :param after: of the form `bridged`
    """
    made, target = bridge_of(after), after.target
    plain = tuple(
        TableColumn(column.name, column.type, column.nullable, collation=column.collation)
        for column in target.columns
    )
    taken = {column.name for column in (*plain, *made.extra)}
    dummies = tuple(
        TableColumn(name, "boolean") for name in after.legacy.column_names if name not in taken
    )
    key = ", ".join(map(ident, after.target_key))
    keys = (Constraint("key", "primary_key", after.target_key, f"PRIMARY KEY ({key})"),)
    return dataclasses.replace(
        after,
        legacy=Table(target.schema, target.name, plain, keys),
        target=Table(target.schema, target.name, (*plain, *made.extra, *dummies), keys),
        rules=tuple(Column(column.name, column.name) for column in plain),
        fills=tuple(
            Fill(item.column.name, item.lens.read(Row("this_row"))) for item in made.columns
        ),
        form="reversed",
        accept=(),
        needs=(),
    )


def begin(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements after which every row that is written has a bridge."""
    target = after.target
    return [
        require_phase(before, "cutover"),
        f"LOCK TABLE {target.sql} IN ACCESS EXCLUSIVE MODE",
        *bridge.carry(after, target, shown=_retired(before), is_filled=True),
        *trigger_function(after, _PURPOSE, _derive(after), after.legacy),
        f"CREATE TRIGGER {ident(_TRIGGER)} BEFORE INSERT OR UPDATE\n"
        f"ON {target.sql} FOR EACH ROW\n"
        f"EXECUTE FUNCTION {after.function(_PURPOSE)}()",
        *begun(after),
    ]


def abandon(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements that undo `begin`."""
    return [
        require_phase(before, "cutover"),
        f"LOCK TABLE {after.target.sql} IN ACCESS EXCLUSIVE MODE",
        *_cease(after),
        *bridge.uncarry(after, after.target),
        *unbegun(before),
    ]


def different(before: Mapping, after: Mapping) -> str:
    """Return the query for the number of rows whose bridge is not what the view shows of them."""
    made = bridge_of(after)
    held = ", ".join(TARGET.column(item.column.name) for item in made.columns)
    reads = ", ".join(item.lens.read(TARGET) for item in made.columns)
    unlike = f" OR ROW({held})::record OPERATOR(pg_catalog.*<>) ROW({reads})::record"
    return (
        f"SELECT count(*) FROM {after.target.sql} AS {TARGET.name}\n"
        f"WHERE {TARGET.column(made.marker.name)} IS NULL{unlike if made.columns else ''}"
    )


def finish(before: Mapping, after: Mapping) -> list[str]:
    """Return the statements by which the view serves its clients in another form."""
    legacy, retired = before.legacy, _retired(before)
    view, table = (regclass(legacy.schema, name) for name in (legacy.name, retired.name))
    is_bridged = after.chosen_form == "bridged"
    return [
        require_phase(before, "cutover"),
        f"SELECT compat.lock_dependents({view})",
        f"LOCK TABLE {legacy.sql} IN ACCESS EXCLUSIVE MODE",  # and, beneath it, the target
        "SELECT compat.hurry()",
        # A view without triggers of ours has no place for those of the legacy table.
        f"SELECT compat.return_triggers({table}, {view})",
        *(_cease(after) if is_bridged else []),
        *(bridge.serve(after) if is_bridged else []),
        *replace.replace_view(before, after, legacy.name, retired),
        *sync.define_forward(after),
        *sync.define_reverse(after),
        *bridge.drop(before),
        *(swap.cease_drawing(after) if is_bridged else swap.own_sequences(after)),
        f"SELECT compat.move_triggers({table}, {view})",
        become(after),
        event(after, f"switch to {after.chosen_form}"),
    ]


def _retired(mapping: Mapping) -> Table:
    return dataclasses.replace(mapping.legacy, name=mapping.retired_name)


def _derive(after: Mapping) -> str:
    """Return the body of the trigger's function: what the view shows of the row, and the marker."""
    made = bridge_of(after)
    derived = {item.column.name: item.lens.read(NEW) for item in made.columns}
    derived[made.marker.name] = "false"
    lines = [f"{NEW.column(name)} := {value};" for name, value in derived.items()]
    return "\n".join(["BEGIN", *indented([*lines, "RETURN NEW;"]), "END"])


def _cease(after: Mapping) -> list[str]:
    return [
        f"DROP TRIGGER {ident(_TRIGGER)} ON {after.target.sql}",
        drop_function(after, _PURPOSE),
    ]
