"""Row-level security of the legacy table, applied by its view to whoever uses the view.

PostgreSQL applies policies beneath a view to the view's owner, who is current_user in SECURITY
DEFINER functions as well. So what may be read stands in the view's own query, and what may be
written is checked by triggers that run as the caller, before those that write.
"""

from __future__ import annotations

from collections.abc import Iterable

from compat.compile.functions import caller_function, drop_function
from compat.mapping import Mapping
from compat.names import ident, literal, regclass
from compat.rules import NEW, OLD
from compat.tables import Policy, PolicyCommand

PURPOSES = ALLOW, CHECK = "allow", "check"
"""What the functions are for: which rows may be written at all, and what they may become.

Triggers fire in the order of their names: compat_allow, the legacy table's own, compat_check, ours.
"""


def only_visible(mapping: Mapping, query: str) -> str:
    """Return the view's query, restricted to the rows that policies show to the caller."""
    if mapping.legacy.policies is None:
        return query
    columns = ", ".join(map(ident, mapping.legacy.column_names))
    shown = _using(mapping.legacy.policies, "select")
    if _visible_needs_function(mapping):
        shown = f"{_visible(mapping)}({columns})"
    rows = query.replace("\n", "\n    ")
    return (
        f"SELECT {columns}\nFROM (\n    {rows}\n) AS {ident(mapping.legacy.name)}\n"
        f"WHERE {_exempt_in_view(mapping)} OR {shown}"
    )


def options(mapping: Mapping) -> str:
    """Return the options of the view: nobody's function may see a row before its policy does."""
    return "" if mapping.legacy.policies is None else " WITH (security_barrier)"


def before_view(mapping: Mapping) -> list[str]:
    """Return the statements that define what the view's query calls.

    Policies with sub-queries read other tables with the caller's rights: in the view they would be
    read with its owner's.
    """
    if not _visible_needs_function(mapping):
        return []
    legacy, name = mapping.legacy, _visible(mapping)
    types = ", ".join(column.type for column in legacy.columns)
    row = ", ".join(f"${n} AS {ident(column)}" for n, column in enumerate(legacy.column_names, 1))
    assert legacy.policies is not None
    signature = f"{name}({types})"
    return [
        f"CREATE OR REPLACE FUNCTION {signature} RETURNS boolean LANGUAGE sql STABLE\n"
        f"BEGIN ATOMIC\n    SELECT {_using(legacy.policies, 'select')}\n"
        f"    FROM (SELECT {row}) AS {ident(legacy.name)};\nEND",
        f"SELECT compat.own({literal(signature)}::pg_catalog.regprocedure, "
        f"{regclass(legacy.schema, legacy.name)}, true)",
    ]


def triggers(mapping: Mapping, view: str) -> list[str]:
    """Return the statements that make the view check what is written through it.

    :param view: its quoted name
    """
    if mapping.legacy.policies is None:
        return []
    statements = []
    for purpose, events, body in (
        (ALLOW, "UPDATE OR DELETE", _allow_body(mapping)),
        (CHECK, "INSERT OR UPDATE", _check_body(mapping)),
    ):
        statements += caller_function(mapping, purpose, body, mapping.legacy)
        statements.append(
            f"CREATE TRIGGER {ident(f'compat_{purpose}')} INSTEAD OF {events} ON {view}\n"
            f"FOR EACH ROW EXECUTE FUNCTION {mapping.function(purpose)}()"
        )
    return statements


def drop(mapping: Mapping) -> list[str]:
    """Return the statements that drop the functions, once the view is gone."""
    if mapping.legacy.policies is None:
        return []
    statements = [drop_function(mapping, purpose) for purpose in (ALLOW, CHECK)]
    if _visible_needs_function(mapping):
        statements.append(f"DROP FUNCTION {_visible(mapping)}")
    return statements


def enable(mapping: Mapping) -> list[str]:
    """Return the statements that give a legacy table that was made anew its policies again."""
    legacy = mapping.legacy
    if legacy.policies is None:
        return []
    return [
        f"ALTER TABLE {legacy.sql} ENABLE ROW LEVEL SECURITY",
        *[_create(legacy.sql, policy) for policy in legacy.policies],
    ]


def require(mapping: Mapping, name: str) -> str:
    """Return the check that the legacy table has the policies that the view applies, and no other.

    :param name: the legacy table's name at this moment
    """
    return (
        f"SELECT compat.require_policies({regclass(mapping.legacy.schema, name)}, "
        f"{literal(mapping.legacy.policies_json)}::jsonb)"
    )


def _create(table: str, policy: Policy) -> str:
    roles = ", ".join(map(ident, policy.roles)) or "PUBLIC"
    using = "" if policy.using is None else f" USING ({policy.using})"
    check = "" if policy.check is None else f" WITH CHECK ({policy.check})"
    return (
        f"CREATE POLICY {ident(policy.name)} ON {table} "
        f"AS {'PERMISSIVE' if policy.permissive else 'RESTRICTIVE'} "
        f"FOR {policy.command.upper()} TO {roles}{using}{check}"
    )


def _visible(mapping: Mapping) -> str:
    return mapping.function("visible")


def _visible_needs_function(mapping: Mapping) -> bool:
    policies = mapping.legacy.policies or ()
    return any(policy.has_subquery for policy in _of(policies, "select"))


def _exempt(mapping: Mapping) -> str:
    """Return the condition that no policy applies to the caller: owner, superuser, BYPASSRLS.

    PostgreSQL's own answer for the legacy table, whichever name it has now. Without the table: no.
    """
    legacy = mapping.legacy
    names = f"{literal(legacy.name)}, {literal(mapping.retired_name)}"
    return (
        "(SELECT pg_catalog.bool_and(pg_catalog.row_security_active(c.oid))\n"
        "        FROM pg_catalog.pg_class AS c"
        " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace\n"
        f"        WHERE n.nspname = {literal(legacy.schema)} AND c.relname IN ({names})"
        " AND c.relkind IN ('r', 'p')) IS FALSE"
    )


def _exempt_in_view(mapping: Mapping) -> str:
    """Return the same for a query; with the catalogue in it, LOCK TABLE would lock the catalogue.

    Asked once, as a sub-query, and not for each row.
    """
    legacy = mapping.legacy
    names = ", ".join(map(literal, (legacy.schema, legacy.name, mapping.retired_name)))
    return f"(SELECT compat.is_exempt({names}))"


def _allow_body(mapping: Mapping) -> str:
    """Rows that a policy hides from an UPDATE or DELETE are passed over, as on a table."""
    policies = mapping.legacy.policies or ()
    lines = ["BEGIN", f"    IF {_exempt(mapping)} THEN", "        NULL;"]
    for command in ("update", "delete"):
        allowed = _over(mapping, OLD.name, _using(policies, command))
        lines += [
            f"    ELSIF TG_OP = {literal(command.upper())} AND {allowed} IS NOT TRUE THEN",
            "        RETURN NULL;",
        ]
    lines += [
        "    END IF;",
        "    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;",
        "END",
    ]
    return "\n".join(lines)


def _check_body(mapping: Mapping) -> str:
    """What a row becomes must be allowed; an UPDATE, which has read it, must still see it.

    Whether an INSERT has a RETURNING, for which a table asks that too, no trigger can know.
    """
    policies = mapping.legacy.policies or ()
    lines = [
        "DECLARE",
        "    violated text;",
        "BEGIN",
        f"    IF {_exempt(mapping)} THEN",
        "        RETURN NEW;",
        "    END IF;",
    ]
    checks = {
        "insert": _checks(policies, "insert"),
        "update": [*_checks(policies, "update"), *_checks(policies, "select")],
    }
    for word, (operation, conditions) in zip(("IF", "ELSIF"), checks.items(), strict=True):
        cases = "\n".join(
            f"            WHEN {_over(mapping, NEW.name, condition)} IS NOT TRUE"
            f" THEN {literal('' if name is None else f' {ident(name)}')}"
            for name, condition in conditions
        )
        lines += [
            f"    {word} TG_OP = {literal(operation.upper())} THEN",
            f"        violated := CASE\n{cases}\n        END;",
        ]
    relation = literal(mapping.legacy.name)
    lines += [
        "    END IF;",
        "    IF violated IS NOT NULL THEN",
        "        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',",
        "            MESSAGE = pg_catalog.format('new row violates row-level security '",
        f"                'policy%s for table \"%s\"', violated, {relation});",
        "    END IF;",
        "    RETURN NEW;",
        "END",
    ]
    return "\n".join(lines)


def _over(mapping: Mapping, record: str, condition: str) -> str:
    """Return a condition over the legacy columns, evaluated for NEW or OLD."""
    columns = ", ".join(
        f"{record}.{ident(name)} AS {ident(name)}" for name in mapping.legacy.column_names
    )
    return f"(SELECT {condition} FROM (SELECT {columns}) AS {ident(mapping.legacy.name)})"


def _of(policies: Iterable[Policy], command: PolicyCommand) -> list[Policy]:
    return [policy for policy in policies if policy.command in ("all", command)]


def _using(policies: Iterable[Policy], command: PolicyCommand) -> str:
    """Return the condition on existing rows."""
    return " AND ".join(condition for _, condition in _conditions(policies, command, "using"))


def _checks(policies: Iterable[Policy], command: PolicyCommand) -> list[tuple[str | None, str]]:
    """Return the conditions on new rows, each with the name by which a violation is reported."""
    return _conditions(policies, command, "using" if command == "select" else "check")


def _conditions(
    policies: Iterable[Policy], command: PolicyCommand, what: str
) -> list[tuple[str | None, str]]:
    """Some permissive policy must hold, and every restrictive one that is for the caller."""
    allowing, restricting = [], []
    for policy in _of(policies, command):
        condition = policy.using
        if what == "check" and policy.check is not None:
            condition = policy.check
        if condition is None:
            condition = "true"
        mine = _is_for_caller(policy)
        if policy.permissive:
            allowing.append(f"({condition})" if mine is None else f"({mine} AND ({condition}))")
        else:
            narrowed = condition if mine is None else f"NOT {mine} OR ({condition})"
            restricting.append((policy.name, f"({narrowed})"))
    return [(None, f"({' OR '.join(allowing) or 'false'})"), *restricting]


def _is_for_caller(policy: Policy) -> str | None:
    """Return the condition that the caller has one of the policy's roles, None for everybody."""
    if not policy.roles:
        return None
    member = (f"pg_catalog.pg_has_role({literal(role)}, 'USAGE')" for role in policy.roles)
    return f"({' OR '.join(member)})"
