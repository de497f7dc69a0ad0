-- Where the foreign keys of a table lead at this moment, as {name: definition}; not those to itself.
-- With them, which of them follow a migration of the table that they reference.
CREATE OR REPLACE FUNCTION compat.foreign_keys_of(source regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object(
    'foreign_keys', coalesce(jsonb_object_agg(conname, pg_get_constraintdef(oid)), '{}'),
    'following', (SELECT coalesce(jsonb_agg(f), '[]') FROM compat.foreign_key f WHERE f.referencing = source))
FROM pg_constraint WHERE conrelid = source AND contype = 'f' AND confrelid <> source
$$;

---
-- Adds a foreign key as it was noted, or, when nothing was noted under its name, as `otherwise` says:
-- what it referenced when the mapping was drafted may be a view by now, or gone.
CREATE OR REPLACE FUNCTION compat.restore_foreign_key(
    relation regclass, name text, noted jsonb, otherwise text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, name,
                   coalesce(noted #>> ARRAY['foreign_keys', name], otherwise));
EXCEPTION WHEN undefined_table OR wrong_object_type THEN
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('the foreign key %I of %s cannot be restored: %s', name, relation, SQLERRM),
        HINT = 'Take back the contract of the table that it references first.';
END $$;

---
-- Lets some foreign keys of a retired table be checked at COMMIT only, or not any more. Where a statement
-- inserts parent and child through two views, the sync may bring the child first. Their twins as well; one
-- that has been dropped since is passed over.
CREATE OR REPLACE FUNCTION compat.defer_foreign_keys(relation regclass, names text[], is_deferred boolean)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name name;
BEGIN
    FOR name IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = relation AND contype = 'f' AND condeferred <> is_deferred
          AND (conname = ANY (names) OR conname IN (
              SELECT f.twin_name FROM compat.foreign_key f
              WHERE f.referencing = relation AND f.name = ANY (names)))
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I %s', relation, name,
                       CASE WHEN is_deferred THEN 'DEFERRABLE INITIALLY DEFERRED' ELSE 'NOT DEFERRABLE' END);
    END LOOP;
END $$;

---
-- The retired table of a migration, by the guard that a cutover puts on it; NULL when there is none.
CREATE OR REPLACE FUNCTION compat.retired_of(mapping_name text)
RETURNS regclass LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT t.tgrelid::regclass
FROM compat.mapping m
JOIN pg_trigger t ON t.tgfoid = 'compat.refuse_late_write()'::regprocedure AND t.tgtype::integer & 32 = 0
JOIN pg_class c ON c.oid = t.tgrelid AND NOT c.relispartition
WHERE m.name = mapping_name AND split_part(encode(t.tgargs, 'escape'), '\000', 2) = encode(convert_to(
    to_regclass(format('%I.%I', document #>> '{legacy,schema}', document #>> '{legacy,name}'))::text,
    getdatabaseencoding()), 'escape')
$$;

---
-- A foreign key that was noted when the table it references had been contracted already leads to the
-- target. If that contract has been taken back since, there is a retired table again for it to lead to:
-- it gets that, and the twin that it would have.
CREATE OR REPLACE FUNCTION compat.reattach_foreign_key(mapping_name text, relation regclass, name text, twin_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    migration CONSTANT compat.mapping := (SELECT m FROM compat.mapping m WHERE m.name = mapping_name);
    target CONSTANT regclass := to_regclass(format('%I.%I', migration.document #>> '{target,schema}',
                                                   migration.document #>> '{target,name}'));
    retired CONSTANT regclass := compat.retired_of(mapping_name);
    fk CONSTANT oid := (SELECT oid FROM pg_constraint
                        WHERE conrelid = relation AND conname = name AND confrelid = target);
    columns record;
    twin text;
    original text;
BEGIN
    IF fk IS NULL OR retired IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(r ->> 'legacy') AS of_legacy, array_agg(r ->> 'target') AS of_target INTO columns
    FROM json_array_elements(migration.document -> 'rules') r WHERE r ->> 'rule' IN ('column', 'cast');
    twin := compat.foreign_key_definition(fk, target, columns.of_target, columns.of_target);
    original := compat.foreign_key_definition(fk, retired, columns.of_target, columns.of_legacy);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, name);
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, name, original);
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', relation, twin_name, twin);
    PERFORM compat.watch_references(mapping_name, retired);
END $$;

---
-- Lets the restored foreign keys of a table follow the migrations again that they followed when noted.
CREATE OR REPLACE FUNCTION compat.restore_following(relation regclass, noted jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key record;
    twin text;
BEGIN
    FOR key IN
        SELECT f.*, m.phase
        FROM jsonb_to_recordset(noted -> 'following') AS f (mapping text, name text, twin_name text)
        JOIN compat.mapping m ON m.name = f.mapping WHERE m.phase IN ('cutover', 'contracted')
    LOOP
        twin := noted #>> ARRAY['foreign_keys', key.twin_name];
        IF twin IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, key.twin_name, twin);
        ELSIF key.phase = 'cutover' THEN
            PERFORM compat.reattach_foreign_key(key.mapping, relation, key.name, key.twin_name);
        END IF;
        INSERT INTO compat.foreign_key VALUES (key.mapping, relation, key.name, key.twin_name)
        ON CONFLICT (mapping, referencing, name) DO UPDATE SET twin_name = EXCLUDED.twin_name;
    END LOOP;
END $$;

---
-- Called once a lock is held, for which clients queue: waits only half as long for the next one.
CREATE OR REPLACE FUNCTION compat.hurry()
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
SELECT set_config('lock_timeout', ceil(setting::numeric / 2)::text, true)
FROM pg_settings WHERE name = 'lock_timeout'
$$;

---
-- Locks all tables that reference `source`, which the caller locks next: as those do who write a
-- referencing row, whose foreign key then looks at `source`. The other way round, each would wait for
-- the other.
CREATE OR REPLACE FUNCTION compat.lock_referencing(source regclass, mode text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    referencing regclass;
BEGIN
    FOR referencing IN
        SELECT conrelid::regclass FROM pg_constraint
        WHERE contype = 'f' AND confrelid = source AND conrelid <> source AND conparentid = 0
        GROUP BY conrelid ORDER BY conrelid::regclass::text
    LOOP
        EXECUTE format('LOCK TABLE %s IN %s MODE', referencing, mode);
    END LOOP;
    IF FOUND THEN
        PERFORM compat.hurry();
    END IF;
END $$;

---
-- The definition of a foreign key, pointed at other columns of another table.
CREATE OR REPLACE FUNCTION compat.foreign_key_definition(
    con oid, target regclass, source_columns text[], target_columns text[])
RETURNS text LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk pg_constraint;
    referencing text;
    referenced text;
    lacking text;
    set_columns text;
    action CONSTANT jsonb := '{"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}';
BEGIN
    SELECT * INTO fk FROM pg_constraint WHERE oid = con;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) INTO referencing
    FROM unnest(fk.conkey) WITH ORDINALITY k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = fk.conrelid AND a.attnum = k.attnum;
    SELECT string_agg(quote_ident(target_columns[array_position(source_columns, a.attname::text)]), ', ' ORDER BY k.n),
           string_agg(quote_ident(a.attname), ', ') FILTER (WHERE array_position(source_columns, a.attname::text) IS NULL)
    INTO referenced, lacking
    FROM unnest(fk.confkey) WITH ORDINALITY k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = fk.confrelid AND a.attnum = k.attnum;
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the foreign key %I on %s references %s of %s, which the mapping does not carry over unchanged',
                             fk.conname, fk.conrelid::regclass, lacking, fk.confrelid::regclass),
            HINT = 'Map the column with rules.Column, or drop the foreign key before the cutover.';
    END IF;
    -- ON DELETE SET NULL (columns) exists from PostgreSQL 15 on; read so that 14 compiles it.
    SELECT format(' (%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY k.n)) INTO set_columns
    FROM jsonb_array_elements_text(nullif(to_jsonb(fk) -> 'confdelsetcols', 'null')) WITH ORDINALITY k(attnum, n)
    JOIN pg_attribute a ON a.attrelid = fk.conrelid AND a.attnum = k.attnum::int
    HAVING count(*) > 0;
    RETURN format('FOREIGN KEY (%s) REFERENCES %s (%s)%s ON UPDATE %s ON DELETE %s%s%s%s',
        referencing, target, referenced,
        CASE fk.confmatchtype WHEN 'f' THEN ' MATCH FULL' ELSE '' END,
        action ->> fk.confupdtype::text, action ->> fk.confdeltype::text, set_columns,
        CASE WHEN fk.condeferrable THEN ' DEFERRABLE' ELSE '' END,
        CASE WHEN fk.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END);
END $$;

---
-- Each foreign key that references `source` stays, and gets a twin that references `target`. The
-- twin is not validated yet: the first one still holds, and clients go on seeing its name in errors,
-- because the constraint that was created first is checked first.
CREATE OR REPLACE FUNCTION compat.add_foreign_key_twins(
    mapping_name text, source regclass, source_columns text[], target regclass, target_columns text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk record;
    twin text;
BEGIN
    FOR fk IN
        SELECT oid, conname, conrelid::regclass AS referencing FROM pg_constraint
        WHERE contype = 'f' AND confrelid = source AND conrelid NOT IN (source, target)
          AND conparentid = 0
        ORDER BY conrelid::regclass::text, conname
    LOOP
        twin := fk.conname || '__v2';
        IF octet_length(twin) > 63 THEN
            twin := 'compat_' || md5(fk.conname) || '__v2';
        END IF;
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', fk.referencing, twin,
                       compat.foreign_key_definition(fk.oid, target, source_columns, target_columns));
        INSERT INTO compat.foreign_key VALUES (mapping_name, fk.referencing, fk.conname, twin)
        ON CONFLICT (mapping, referencing, name) DO UPDATE SET twin_name = EXCLUDED.twin_name;
    END LOOP;
    PERFORM compat.watch_references(mapping_name, source);
END $$;

---
-- The twins that are still there: a referencing table may have been dropped since.
CREATE OR REPLACE FUNCTION compat.foreign_key_twins(mapping_name text)
RETURNS SETOF compat.foreign_key LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT f FROM compat.foreign_key f
WHERE f.mapping = mapping_name AND EXISTS (
    SELECT FROM pg_constraint c WHERE c.conrelid = f.referencing AND c.conname = f.twin_name)
ORDER BY f.referencing::text, f.name
$$;

---
CREATE OR REPLACE FUNCTION compat.drop_foreign_key_twins(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk record;
BEGIN
    FOR fk IN SELECT f.* FROM compat.foreign_key_twins(mapping_name) f LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', fk.referencing, fk.twin_name);
    END LOOP;
    DELETE FROM compat.foreign_key WHERE mapping = mapping_name;
    PERFORM compat.watch_references(mapping_name, NULL);
END $$;

---
CREATE OR REPLACE FUNCTION compat.finish_foreign_key_twins(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk record;
BEGIN
    FOR fk IN SELECT f.* FROM compat.foreign_key_twins(mapping_name) f LOOP
        EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', fk.referencing, fk.twin_name);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', fk.referencing, fk.name);
        EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', fk.referencing, fk.twin_name, fk.name);
        -- It may have a twin itself, of the migration that goes on from the target.
        UPDATE compat.foreign_key f SET name = fk.name
        WHERE f.referencing = fk.referencing AND f.name = fk.twin_name;
    END LOOP;
END $$;

---
-- Undoes finish_foreign_key_twins: the keys that once referenced `source` do so again, beside twins.
-- The one that references `source` is made first, so that it is checked first.
CREATE OR REPLACE FUNCTION compat.reattach_foreign_keys(
    mapping_name text, source regclass, source_columns text[], target regclass, target_columns text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk record;
BEGIN
    FOR fk IN
        SELECT f.referencing, f.name, f.twin_name, c.oid AS con
        FROM compat.foreign_key f
        JOIN pg_constraint c ON c.conrelid = f.referencing AND c.conname = f.name AND c.confrelid = target
        WHERE f.mapping = mapping_name
    LOOP
        DECLARE
            twin text := compat.foreign_key_definition(fk.con, target, target_columns, target_columns);
            original text := compat.foreign_key_definition(fk.con, source, target_columns, source_columns);
        BEGIN
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', fk.referencing, fk.name);
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', fk.referencing, fk.name, original);
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', fk.referencing, fk.twin_name, twin);
        END;
    END LOOP;
    PERFORM compat.watch_references(mapping_name, source);
END $$;

---
-- Says when keys of a table are looked at: NOT DEFERRABLE, or DEFERRABLE INITIALLY ... . One that has been
-- dropped since is passed over.
CREATE OR REPLACE FUNCTION compat.look_at_keys(relation regclass, names text[], moment text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name name;
BEGIN
    FOR name IN
        SELECT conname FROM pg_constraint WHERE conrelid = relation AND contype = 'f' AND conname = ANY (names)
        ORDER BY conname
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER CONSTRAINT %I %s', relation, name, moment);
    END LOOP;
END $$;

---
-- True when all these keys are there, and SET CONSTRAINTS takes them, which knows no table but the schema.
CREATE OR REPLACE FUNCTION compat.are_deferrable(in_schema name, names name[])
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT count(DISTINCT conname) = cardinality(names) AND bool_and(condeferrable)
FROM pg_constraint
WHERE conname = ANY (names) AND connamespace = (SELECT oid FROM pg_namespace WHERE nspname = in_schema)
$$;

---
-- Raises an error of a key of the target to itself as the legacy table would have; returns when it is of
-- another one. `names` (compat.compile.own_keys) tells how they correspond.
CREATE OR REPLACE FUNCTION compat.raise_of_own_key(names jsonb, said text, details text, of_constraint text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known CONSTANT jsonb := names -> 'keys' -> of_constraint;
    target CONSTANT text := format('"%s"', names #>> '{target,1}');
    legacy CONSTANT text := format('"%s"', names #>> '{legacy,1}');
    pair jsonb;
    key text;
    number text;
BEGIN
    IF known IS NULL THEN
        RETURN;
    END IF;
    key := substring(details from '\)=\((.*)\) is still referenced');
    IF key IS NOT NULL AND known -> 'number' <> 'null' THEN
        EXECUTE format('SELECT min(%s::text) FROM %s WHERE %s = %L', known #>> '{number,1}', names #>> '{target,0}',
                       known #>> '{number,0}', key) INTO number;
        details := replace(details, format(')=(%s)', key), format(')=(%s)', number));
    END IF;
    FOR pair IN SELECT * FROM jsonb_array_elements(known -> 'columns') LOOP
        CONTINUE WHEN strpos(details, format('Key (%s)=', pair ->> 0)) <> 1;
        details := replace(details, format('(%s)=', pair ->> 0), format('(%s)=', pair ->> 1));
        EXIT;
    END LOOP;
    PERFORM compat.raise_of_table('23503',
        replace(replace(said, target, legacy), format('"%s"', of_constraint), format('"%s"', known ->> 'name')),
        replace(details, target, legacy), names #>> '{legacy,0}', names #>> '{legacy,1}', NULL, known ->> 'name');
END $$;
