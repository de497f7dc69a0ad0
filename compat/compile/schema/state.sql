-- Default privileges may not open it: what it holds is for those to whom it is granted.
DO $$
DECLARE
    grantee text;
BEGIN
    IF to_regnamespace('compat') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE SCHEMA compat;
    FOR grantee IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_namespace n, aclexplode(n.nspacl) g WHERE n.nspname = 'compat' AND g.grantee <> n.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA compat FROM %s CASCADE', grantee);
    END LOOP;
END $$;

---
CREATE TABLE IF NOT EXISTS compat.mapping (
    name text PRIMARY KEY,
    document json NOT NULL,
    fingerprint text NOT NULL,
    phase text NOT NULL,
    looks jsonb,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

---
-- published: a view over the target, of a name that no table ever had.
ALTER TABLE compat.mapping DROP CONSTRAINT IF EXISTS mapping_phase_check,
    ADD CONSTRAINT mapping_phase_check
    CHECK (phase IN ('expanded', 'copying', 'copied', 'cutover', 'contracted', 'published'));

---
-- The form that a migration is being switched to, while its rows are copied.
ALTER TABLE compat.mapping ADD COLUMN IF NOT EXISTS switching text;

---
CREATE TABLE IF NOT EXISTS compat.copy_progress (
    mapping text PRIMARY KEY REFERENCES compat.mapping ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);

---
-- A range ends with the key `upto`, or with the table, and begins after the end of the one before.
CREATE TABLE IF NOT EXISTS compat.copy_range (
    mapping text NOT NULL REFERENCES compat.copy_progress ON DELETE CASCADE,
    number integer NOT NULL,
    upto text[],
    last_key text[],
    rows_seen bigint NOT NULL DEFAULT 0,
    rows_copied bigint NOT NULL DEFAULT 0,
    finished boolean NOT NULL DEFAULT false,
    PRIMARY KEY (mapping, number)
);

---
-- Rows that could not be carried over. `mapping` names one of this database, or one by which rows
-- of another database were moved here.
CREATE TABLE IF NOT EXISTS compat.reject (
    mapping text NOT NULL,
    key text[] NOT NULL,
    row_data jsonb NOT NULL,
    sqlstate text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (mapping, key)
);

---
-- Indexes of a target that the copy has dropped, and builds again when the rows are there.
CREATE TABLE IF NOT EXISTS compat.deferred_index (
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    name text NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (mapping, name)
);

---
-- Builds them in this transaction, for a migration that is taken back by SQL alone: `compat unexpand`
-- has built them concurrently before.
CREATE OR REPLACE FUNCTION compat.build_deferred_indexes(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT m.document -> 'target' ->> 'schema' AS schema, d.name, d.definition
        FROM compat.deferred_index d JOIN compat.mapping m ON m.name = d.mapping
        WHERE d.mapping = mapping_name ORDER BY d.name
    LOOP
        EXECUTE format('DROP INDEX IF EXISTS %I.%I', item.schema, item.name);
        EXECUTE item.definition;
    END LOOP;
END $$;

---
CREATE TABLE IF NOT EXISTS compat.foreign_key (
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    referencing regclass NOT NULL,
    name name NOT NULL,
    twin_name name NOT NULL,
    PRIMARY KEY (mapping, referencing, name)
);

---
CREATE TABLE IF NOT EXISTS compat.event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    mapping text NOT NULL,
    step text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
