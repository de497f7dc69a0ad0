"""The ways of `compat switch`: one after another, taken back half-way, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from alembic.util import CommandError
from psycopg import errors

import verify
from compat import rules
from compat.bridge import bridge_of
from compat.compile import switch as compiled
from compat.errors import StateError
from compat.mapping import Form, Mapping
from compat.operations import SwitchFormOp
from compat.run import health, switch
from compat.run.copy import CopyState
from compat.run.status import status
from compat.state import load
from tests.compat.migrations import Connection, Migration, one, outcome, value
from tests.run.support import catalogue
from tests.test_alembic import operating

pytestmark = pytest.mark.installed

ODD = '''
CREATE SCHEMA "old ""schema""";
CREATE TABLE "old ""schema"""."odd %s" (
    "Key" serial PRIMARY KEY,
    "compat_via_view" integer NOT NULL DEFAULT 1,
    "code"" %" text UNIQUE,
    "select" timestamp,
    "kept" varchar(9) DEFAULT 'é'
);
CREATE TABLE "new ""%" (
    "the key" bigint PRIMARY KEY,
    "compat_via_view__compat" text NOT NULL,
    "code"" %" integer UNIQUE,
    "select" timestamptz,
    "kept__compat" varchar(9),
    "only v2" text DEFAULT 'x'
);
INSERT INTO "old ""schema"""."odd %s" ("compat_via_view", "code"" %", "select")
SELECT 1 + i % 3, i * 7, timestamp '2001-01-01' + i * interval '1.5 h'
FROM generate_series(1, 30) i;
'''
LEGACY, V2 = '"old ""schema"""."odd %s"', '"new ""%"'
TOUR: tuple[Form, ...] = (
    "reversed",
    "bridged",
    "reversed",
    "instead_of",
    "bridged",
    "instead_of",
    "reversed",
)
"""Every way there is, one after another, from the form `instead_of`."""
WITH_COPY = tuple(ends for ends, way in compiled.WAYS.items() if way.copied is not None)


def odd(conn: Connection, form: Form) -> Migration:
    """Tables with odd names, in two schemas, whose key is converted; cut over."""
    conn.execute(ODD)
    migration = Migration.between(
        conn,
        '"old ""schema"""."odd %s"',
        'public."new ""%"',
        (
            rules.Cast("Key", "the key"),
            rules.ValueMap(
                "compat_via_view", "compat_via_view__compat", ((1, "one"), (2, "%"), (3, "'"))
            ),
            rules.Cast('code" %', 'code" %'),
            rules.Cast("select", "select", timezone="UTC"),
            rules.Column("kept", "kept__compat"),
        ),
        form=form,
        accept=('code" %', "select"),
        name='odd "%',
    )
    return migration.expand().copy().cutover()


def shown(conn: Connection) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What the clients of both names see, by the columns that they know."""
    legacy = conn.execute(
        f'SELECT "Key", compat_via_view, "code"" %", "select", kept FROM {LEGACY} ORDER BY 1'
    ).fetchall()
    v2 = conn.execute(
        'SELECT "the key", "compat_via_view__compat", "code"" %", "select", "kept__compat",'
        f' "only v2" FROM {V2} ORDER BY 1',
    ).fetchall()
    return legacy, v2


def write(conn: Connection) -> None:
    """Change rows on either side, in either shape."""
    conn.execute(
        f'INSERT INTO {LEGACY} (compat_via_view, "code"" %") SELECT 2, max("code"" %"::int) + 1'
        f" FROM {LEGACY}",
    )
    conn.execute(
        f'UPDATE {V2} SET "only v2" = "only v2" || \'y\', "select" = "select" + \'1 s\''
        ' WHERE "the key" % 2 = 0',
    )
    conn.execute(f'UPDATE {LEGACY} SET compat_via_view = 3 WHERE "Key" % 5 = 0')
    conn.execute(f'DELETE FROM {V2} WHERE "the key" = (SELECT min("the key") FROM {V2})')


def is_well(conn: Connection, form: Form) -> Mapping:
    (stored,) = [load(conn, 'odd "%')]
    assert (stored.mapping.chosen_form, stored.switching) == (form, None)
    assert health.problems(conn, stored) == ()
    return stored.mapping


def test_every_way_one_after_another_leaves_both_sides_what_they_were(conn: Connection) -> None:
    odd(conn, "instead_of")
    for form in TOUR:
        write(conn)
        before = shown(conn)
        switch.switch(conn, 'odd "%', form)
        is_well(conn, form)
        assert shown(conn) == before
    write(conn)
    assert len(shown(conn)[0]) == len(shown(conn)[1]) == 30


@pytest.mark.proof
@pytest.mark.parametrize("number", [2, 4, 5, 6])
def test_what_a_switch_has_led_to_is_found_good_by_verify(conn: Connection, number: int) -> None:
    odd(conn, "instead_of")
    for form in TOUR[:number]:
        write(conn)
        switch.switch(conn, 'odd "%', form)
    assert verify.run(conn).exit_code == 0


def test_the_tour_takes_every_way() -> None:
    assert set(zip(("instead_of", *TOUR), TOUR, strict=False)) == set(compiled.WAYS)


@pytest.mark.proof
@pytest.mark.parametrize(("before", "after"), WITH_COPY)
def test_half_way_everybody_writes_on_and_it_goes_on_or_back(
    conn: Connection, before: Form, after: Form
) -> None:
    odd(conn, before)
    pictured = catalogue(conn)

    def stop(at: CopyState) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            switch.switch(conn, 'odd "%', after, on_progress=stop)
        write(conn)
        (found,) = status(conn)
        assert (found.switching, found.form, found.problems) == (after, before, ())
        assert f"--to {after} --execute (resumes; --to {before} takes it back)" in found.next_step
    # Towards a bridge it sees columns change that no statement names: those of rows not yet filled.
    if after == "reversed":
        assert verify.run(conn).exit_code == 0
    seen = shown(conn)
    switch.switch(conn, 'odd "%', before)
    is_well(conn, before)
    assert catalogue(conn) == pictured
    with pytest.raises(KeyboardInterrupt):
        switch.switch(conn, 'odd "%', after, on_progress=stop)
    assert shown(conn) == seen
    write(conn)
    seen = shown(conn)
    switch.switch(conn, 'odd "%', after)
    is_well(conn, after)
    assert shown(conn) == seen


def test_a_trigger_that_was_switched_off_half_way_stops_it(conn: Connection) -> None:
    odd(conn, "instead_of")

    def switch_off(at: CopyState) -> None:
        conn.execute(f'ALTER TABLE {V2} DISABLE TRIGGER "~compat_bridge_derive"')

    with pytest.raises(StateError, match=r"~compat_bridge_derive .* is missing or disabled"):
        switch.switch(conn, 'odd "%', "bridged", on_progress=switch_off)
    conn.execute(f'ALTER TABLE {V2} ENABLE TRIGGER "~compat_bridge_derive"')
    switch.switch(conn, 'odd "%', "bridged")
    is_well(conn, "bridged")


def test_the_marker_of_the_copy_is_the_marker_of_the_bridge(conn: Connection) -> None:
    before = odd(conn, "instead_of").mapping
    for after in (replace(before, form="bridged"), replace(before, form="reversed")):
        copied = compiled.WAYS["instead_of", after.chosen_form].copied
        assert copied is not None
        assert bridge_of(copied.between(before, after)).marker == bridge_of(after).marker


@pytest.mark.parametrize("before", ["instead_of", "reversed"])
def test_a_bridge_has_the_arbiters_of_the_legacy_table(conn: Connection, before: Form) -> None:
    odd(conn, before)
    upsert = (
        f'INSERT INTO {LEGACY} ("code"" %") VALUES (\'7\') ON CONFLICT ("code"" %")'
        " DO UPDATE SET compat_via_view = 3"
    )
    switch.switch(conn, 'odd "%', "bridged")
    assert outcome(conn, upsert) == ("done", 1, None)
    assert one(conn, f'SELECT compat_via_view__compat FROM {V2} WHERE "the key" = 1') == ("'",)


def test_what_is_not_unique_in_the_legacy_shape_stops_it_and_it_can_be_taken_back(
    conn: Connection,
) -> None:
    conn.execute(
        "CREATE TABLE old (id integer PRIMARY KEY, price text UNIQUE);"
        "CREATE TABLE new (id integer PRIMARY KEY, price numeric(9,2));"
        "INSERT INTO old VALUES (1, '1.5'), (2, '1.50')"
    )
    column_rules = (rules.Column("id", "id"), rules.Cast("price", "price"))
    migration = Migration.between(
        conn, "old", "new", column_rules, form="instead_of", accept=("price",)
    )
    migration.expand().copy().cutover()
    with pytest.raises(Exception, match=r"could not create unique index") as caught:
        switch.switch(conn, "old", "bridged")
    assert "--to instead_of --execute` takes it back" in str(getattr(caught.value, "hint", ""))
    switch.switch(conn, "old", "instead_of")
    assert health.problems(conn, load(conn, "old")) == ()
    conn.execute("UPDATE new SET price = 2 WHERE id = 2")
    switch.switch(conn, "old", "bridged")
    assert outcome(conn, "INSERT INTO old VALUES (3, '2.00')") == ("failed", "23505")


def test_the_legacy_tables_triggers_go_to_the_view_and_back(conn: Connection) -> None:
    odd(conn, "bridged")
    migration = odd_with_trigger(conn)
    ways: list[tuple[Form, str]] = [("instead_of", LEGACY), ("bridged", migration.retired)]
    for form, table in ways:
        switch.switch(conn, 'odd "%', form)
        conn.execute(f"INSERT INTO {LEGACY} (compat_via_view, kept) VALUES (1, 'a')")
        assert value(conn, f'SELECT kept FROM {table} ORDER BY "Key" DESC LIMIT 1') == "A"
        is_well(conn, form)


def odd_with_trigger(conn: Connection) -> Mapping:
    """Give the retired table a trigger that changes rows, and return the mapping."""
    mapping = load(conn, 'odd "%').mapping
    conn.execute(
        "CREATE FUNCTION upper_case() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.kept := upper(NEW.kept); RETURN NEW; END$$;"
        f"CREATE TRIGGER upper_case BEFORE INSERT ON {mapping.retired}"
        " FOR EACH ROW EXECUTE FUNCTION upper_case()"
    )
    return mapping


@pytest.mark.parametrize(
    ("holding", "named"),
    [
        ('CREATE TABLE child (parent bigint REFERENCES "new ""%")', "the foreign key"),
        (
            'CREATE TRIGGER mine AFTER INSERT ON "new ""%" FOR EACH ROW'
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "the trigger mine",
        ),
        ('CREATE MATERIALIZED VIEW seen AS SELECT * FROM "new ""%"', "the materialized view seen"),
        ('CREATE PUBLICATION feed FOR TABLE "new ""%"', "the publication feed"),
        ('CREATE RULE quiet AS ON DELETE TO "new ""%" DO ALSO NOTHING', "the rule quiet"),
        ('CREATE TABLE whole (line "new ""%")', "the row type, in column line of table whole"),
    ],
)
def test_what_means_the_target_itself_is_named_before_it_becomes_a_view(
    conn: Connection, holding: str, named: str
) -> None:
    odd(conn, "instead_of")
    conn.execute(holding)
    pictured = catalogue(conn)
    with pytest.raises(StateError, match=named):
        switch.switch(conn, 'odd "%', "reversed")
    assert catalogue(conn) == pictured


@pytest.mark.parametrize("after", ["bridged", "reversed"])
def test_a_role_that_would_set_off_triggers_changes_nothing(conn: Connection, after: Form) -> None:
    odd(conn, "instead_of")
    mapping = load(conn, 'odd "%').mapping
    conn.execute(
        "CREATE TABLE audit (line text);"
        "CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO audit VALUES (NEW::text); RETURN NEW; END$$;"
        f"CREATE TRIGGER audited AFTER UPDATE ON {mapping.retired}"
        " FOR EACH ROW EXECUTE FUNCTION note_it()"
    )
    switch.switch(conn, 'odd "%', after)
    assert value(conn, "SELECT count(*) FROM audit") == 0


@pytest.mark.parametrize(("before", "after"), [("instead_of", "reversed"), ("bridged", "reversed")])
def test_rights_prepared_statements_and_views_of_v2_go_to_its_view(
    conn: Connection, url: str, before: Form, after: Form
) -> None:
    odd(conn, before)
    conn.execute(f"GRANT SELECT ON {V2} TO PUBLIC")
    conn.execute(f'CREATE VIEW ones AS SELECT "the key" FROM {V2}')
    conn.execute(f'CREATE VIEW legacy_ones AS SELECT "Key" FROM {LEGACY}')
    with psycopg.connect(url, autocommit=True) as client:
        client.execute(f'PREPARE all_of AS SELECT "the key", "select" FROM {V2} ORDER BY 1')
        seen = client.execute("EXECUTE all_of").fetchall()
        switch.switch(conn, 'odd "%', after)
        assert client.execute("EXECUTE all_of").fetchall() == seen
    write(conn)
    assert value(conn, "SELECT count(*) FROM ones") == 30
    assert value(conn, "SELECT count(*) FROM legacy_ones") == 30
    assert value(conn, "SELECT has_table_privilege('public', 'public.\"new \"\"%\"', 'SELECT')")


@pytest.mark.proof
@pytest.mark.parametrize(("before", "after"), WITH_COPY)
def test_a_revision_takes_the_way_where_no_rows_are(
    conn: Connection, url: str, before: Form, after: Form
) -> None:
    mapping = odd(conn, before).mapping
    operation = SwitchFormOp(mapping, replace(mapping, form=after))
    with pytest.raises(CommandError, match="has rows"), operating(url) as operations:
        operations.invoke(operation)
    conn.execute(f"DELETE FROM {LEGACY}")
    with operating(url) as operations:
        operations.invoke(operation)
    is_well(conn, after)
    conn.execute(f'INSERT INTO {LEGACY} ("code"" %") VALUES (\'7\')')
    with pytest.raises(errors.UniqueViolation):
        conn.execute(f'INSERT INTO {LEGACY} ("code"" %") VALUES (\'7\')')
    assert len(shown(conn)[1]) == 1
