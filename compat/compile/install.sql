CREATE SCHEMA IF NOT EXISTS compat;

---
CREATE TABLE IF NOT EXISTS compat.mapping (
    name text PRIMARY KEY,
    document json NOT NULL,
    fingerprint text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('expanded', 'copying', 'copied', 'cutover', 'contracted')),
    looks jsonb,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

---
CREATE TABLE IF NOT EXISTS compat.copy_progress (
    mapping text PRIMARY KEY REFERENCES compat.mapping ON DELETE CASCADE,
    last_key text[],
    rows_seen bigint NOT NULL DEFAULT 0,
    rows_copied bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);

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

---
-- Raises for a value that a rule has no counterpart for; a NULL passes. IMMUTABLE, because it
-- stands in the ELSE branch of expressions that indexes are made on.
CREATE OR REPLACE FUNCTION compat.refuse(message text, value text, as_type anyelement)
RETURNS anyelement LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%s for the value %L', message, value),
        HINT = 'Add the value to the mapping, or correct the row.';
END $$;

---
-- True when `value` can be cast to `type` (pg_input_is_valid() exists from PostgreSQL 16 on only).
CREATE OR REPLACE FUNCTION compat.castable(value text, type text)
RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'SELECT $1::' || type USING value;
    RETURN true;
EXCEPTION WHEN data_exception OR check_violation THEN
    RETURN false;
END $$;

---
-- True when the row version was written by the current transaction or one of its subtransactions:
-- only those can be visible to it while they are in progress. `version` is a row's xmin; its upper
-- half is taken from the current transaction, which is less than 2^31 away.
CREATE OR REPLACE FUNCTION compat.is_own_change(version xid)
RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    epoch_size CONSTANT bigint := 4294967296;
    top bigint := pg_current_xact_id()::text::bigint;
    own bigint := top - top % epoch_size + version::text::bigint;
BEGIN
    IF own - top > epoch_size / 2 THEN
        own := own - epoch_size;
    ELSIF top - own > epoch_size / 2 THEN
        own := own + epoch_size;
    END IF;
    RETURN coalesce(pg_xact_status(own::text::xid8) = 'in progress', false);
END $$;

---
CREATE OR REPLACE FUNCTION compat.require_phase(mapping_name text, VARIADIC allowed text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_phase text;
BEGIN
    SELECT phase INTO found_phase FROM compat.mapping WHERE name = mapping_name FOR UPDATE;
    IF found_phase IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the mapping %s is not in this database', quote_ident(mapping_name)),
            HINT = 'Run the revision that expands it, or `compat expand`.';
    ELSIF found_phase <> ALL (allowed) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the mapping %s is %s; this step needs %s', quote_ident(mapping_name),
                             found_phase, array_to_string(allowed, ' or ')),
            HINT = CASE WHEN found_phase IN ('expanded', 'copying') THEN
                format('Run `compat copy %s --execute` first.', mapping_name) ELSE
                format('`compat status %s` tells the next step.', mapping_name) END;
    END IF;
END $$;

---
CREATE OR REPLACE FUNCTION compat.require_empty(relation regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    has_rows boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', relation) INTO has_rows;
    IF has_rows THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the target %s is not empty', relation),
            HINT = 'The rows of the target come from the legacy table; empty it first.';
    END IF;
END $$;

---
-- The view is the legacy owner's, and reaches the target with the owner's rights only; policies of
-- the legacy table would not be applied by it.
CREATE OR REPLACE FUNCTION compat.require_alike(legacy regclass, target regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old pg_class := (SELECT c FROM pg_class c WHERE c.oid = legacy);
    new pg_class := (SELECT c FROM pg_class c WHERE c.oid = target);
BEGIN
    IF old.relowner <> new.relowner THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s belongs to %I, but %s to %I', legacy, pg_get_userbyid(old.relowner),
                             target, pg_get_userbyid(new.relowner)),
            HINT = format('ALTER TABLE %s OWNER TO %I', target, pg_get_userbyid(old.relowner));
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i
               WHERE i.inhrelid = legacy OR i.inhparent = legacy AND old.relkind <> 'p') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s is a partition, or part of an inheritance tree', legacy),
            HINT = 'Its rows are also written under other names, unseen by triggers and view; '
                   'migrate the partitioned table as a whole, or end the inheritance first.';
    END IF;
    IF old.relrowsecurity THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s has row level security, which a view of it would not apply', legacy),
            HINT = 'Tables with row level security cannot be migrated yet.';
    END IF;
END $$;

---
-- Before the cutover the target belongs to the sync and the copy; what anybody else writes there
-- would be overwritten or taken for a leftover. So it is refused, unless somebody insists.
CREATE OR REPLACE FUNCTION compat.refuse_early_write()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('%s takes no writes of its own before the cutover', TG_RELID::regclass),
        HINT = 'Write to the legacy table; its rows come here by themselves. For columns that only '
               'this table has: SET compat.early_writes = on.';
END $$;

---
-- What clients see of a relation besides its columns: owner, grants, comments. As one document.
CREATE OR REPLACE FUNCTION compat.looks_of(source regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object(
    'owner', pg_get_userbyid(c.relowner),
    'comment', obj_description(c.oid, 'pg_class'),
    'grants', (SELECT jsonb_agg(jsonb_build_array(
                          CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                          g.privilege_type, g.is_grantable))
               FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) g),
    'columns', (SELECT jsonb_object_agg(a.attname, jsonb_build_object(
                    'comment', col_description(c.oid, a.attnum),
                    'grants', (SELECT jsonb_agg(jsonb_build_array(
                                   CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                                   g.privilege_type, g.is_grantable))
                               FROM aclexplode(a.attacl) g)))
                FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM pg_class c WHERE c.oid = source
$$;

---
-- Gives a relation exactly these looks: whatever it has been granted otherwise is revoked.
CREATE OR REPLACE FUNCTION compat.wear(heir regclass, looks jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text := CASE (SELECT relkind FROM pg_class WHERE oid = heir) WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END;
    item record;
BEGIN
    IF looks ->> 'owner' <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = heir) THEN
        EXECUTE format('ALTER %s %s OWNER TO %I', kind, heir, looks ->> 'owner');
    END IF;
    EXECUTE format('COMMENT ON %s %s IS %L', kind, heir, looks ->> 'comment');
    FOR item IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM (SELECT relacl FROM pg_class WHERE oid = heir
              UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = heir) a(acl), aclexplode(a.acl) g
    LOOP
        -- CASCADE: what a grantee with grant option passed on is granted again below, by the owner.
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', heir, item.grantee);
    END LOOP;
    EXECUTE format('REVOKE ALL ON TABLE %s FROM %I', heir, looks ->> 'owner');
    FOR item IN
        SELECT e ->> 0 AS grantee, e ->> 1 AS privilege, (e ->> 2)::boolean AS grantable
        FROM jsonb_array_elements(coalesce(nullif(looks -> 'grants', 'null'), '[]')) e
    LOOP
        EXECUTE format('GRANT %s ON TABLE %s TO %s %s', item.privilege, heir, item.grantee,
                       CASE WHEN item.grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
    FOR item IN
        SELECT c.key AS name, c.value ->> 'comment' AS comment FROM jsonb_each(looks -> 'columns') c
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', heir, item.name, item.comment);
    END LOOP;
    FOR item IN
        SELECT c.key AS name, g ->> 0 AS grantee, g ->> 1 AS privilege, (g ->> 2)::boolean AS grantable
        FROM jsonb_each(looks -> 'columns') c,
             jsonb_array_elements(coalesce(nullif(c.value -> 'grants', 'null'), '[]')) g
    LOOP
        EXECUTE format('GRANT %s (%I) ON TABLE %s TO %s %s', item.privilege, item.name, heir, item.grantee,
                       CASE WHEN item.grantable THEN 'WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END $$;

---
-- The search path of a table's generated functions. Their own SQL is qualified, but the triggers and
-- checks of users that they set off often are not, and mean the table's schema. It is in the path
-- only if nobody may create objects there whom the owner has no reason to trust: the functions run
-- with the owner's rights.
CREATE OR REPLACE FUNCTION compat.function_path(relation regclass)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN EXISTS (
    SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
    LEFT JOIN pg_roles r ON r.oid = g.grantee
    WHERE g.privilege_type = 'CREATE' AND g.grantee <> c.relowner
      AND (r.oid IS NULL OR NOT r.rolsuper AND r.rolname <> 'pg_database_owner'))
    THEN 'pg_catalog, pg_temp' ELSE format('pg_catalog, %I, pg_temp', n.nspname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

---
-- The generated functions run as the owner of the legacy table, never as whoever installed them:
-- an installer may be a superuser, and whatever the tables call would run with its rights.
CREATE OR REPLACE FUNCTION compat.own(routine regprocedure, relation regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = relation);
BEGIN
    IF NOT has_schema_privilege(owner, 'compat', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA compat TO %I', owner);
    END IF;
    EXECUTE format('ALTER FUNCTION %s SET search_path = %s', routine, compat.function_path(relation));
    IF owner <> (SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = routine) THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', routine, owner);
    END IF;
END $$;

---
-- Where the foreign keys of a table lead at this moment, as {name: definition}; not those to itself.
CREATE OR REPLACE FUNCTION compat.foreign_keys_of(source regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT jsonb_build_object('foreign_keys', coalesce(jsonb_object_agg(conname, pg_get_constraintdef(oid)), '{}'))
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
END $$;
