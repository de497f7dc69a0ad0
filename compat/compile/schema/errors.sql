-- What a row of a view holds, as errors print it. `shown` tells which columns the caller may see: an
-- error tells nothing that a SELECT would not. The caller is the session's role: of what is called by
-- a function with rights of its own, less may be shown than the table would. Where policies may hide
-- rows (the view is a security barrier) from the caller, nothing is shown, as PostgreSQL does.
CREATE OR REPLACE FUNCTION compat.texts_of(
    given anyelement, OUT names text[], OUT texts text[], OUT shown boolean[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation CONSTANT oid := (SELECT typrelid FROM pg_type WHERE oid = pg_typeof(given));
    caller CONSTANT text := coalesce(nullif(current_setting('role', true), 'none'), session_user);
    is_under_policies CONSTANT boolean := EXISTS (
        SELECT FROM pg_class c, pg_roles r
        WHERE c.oid = relation AND 'security_barrier=true' = ANY (c.reloptions) AND r.rolname = caller
          AND NOT (r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, c.relowner, 'USAGE')));
    printed text;
BEGIN
    SELECT array_agg(attname ORDER BY attnum),
           array_agg(NOT is_under_policies AND has_column_privilege(caller, relation, attnum, 'SELECT')
                     ORDER BY attnum),
           string_agg(format('CASE WHEN ($1).%1$I IS NOT DISTINCT FROM NULL THEN ''null'' '
                             'ELSE format(''%%s'', ($1).%1$I) END', attname), ', ' ORDER BY attnum)
    INTO names, shown, printed
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped;
    EXECUTE format('SELECT ARRAY[%s]', printed) INTO texts USING given;
END $$;

---
-- "Failing row contains ...", as PostgreSQL words it, values cut at 64 bytes; NULL if nothing may be seen.
CREATE OR REPLACE FUNCTION compat.failing_row(given anyelement)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN bool_or(seen) THEN 'Failing row contains '
       || CASE WHEN bool_and(seen) THEN '' ELSE format('(%s) = ', string_agg(name, ', ' ORDER BY n)
                                                       FILTER (WHERE seen)) END
       || format('(%s).', string_agg(CASE WHEN octet_length(value) <= 64 THEN value ELSE
              (SELECT left(value, max(i)) || '...' FROM generate_series(16, 64) i
               WHERE octet_length(left(value, i)) <= 64) END, ', ' ORDER BY n) FILTER (WHERE seen)) END
FROM compat.texts_of(given) AS t,
     unnest(t.names, t.texts, t.shown) WITH ORDINALITY AS u(name, value, seen, n)
$$;

---
-- "Key (a, b)=(1, 2)" of some columns of a row, or just "Key" where they may not be seen.
CREATE OR REPLACE FUNCTION compat.key_of(given anyelement, columns text[], quoted boolean)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN count(*) = cardinality(columns) AND bool_and(t.shown[p]) THEN
           format('Key (%s)=(%s)', string_agg(CASE WHEN quoted THEN quote_ident(c) ELSE c END, ', ' ORDER BY n),
                  string_agg(t.texts[p], ', ' ORDER BY n))
       ELSE 'Key' END
FROM compat.texts_of(given) AS t, unnest(columns) WITH ORDINALITY AS k(c, n),
     array_position(t.names, c) AS p
$$;

---
-- Raises an error that names a table, and a column or a constraint. Who asks for a field that RAISE
-- sets to '' could tell it from one that is not there.
CREATE OR REPLACE FUNCTION compat.raise_of_table(
    state text, said text, details text, in_schema text, in_table text, in_column text, of_constraint text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF details IS NULL AND in_column IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = said,
            SCHEMA = in_schema, TABLE = in_table, CONSTRAINT = of_constraint;
    ELSIF details IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = said,
            SCHEMA = in_schema, TABLE = in_table, COLUMN = in_column;
    ELSIF in_column IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = said, DETAIL = details,
            SCHEMA = in_schema, TABLE = in_table, CONSTRAINT = of_constraint;
    ELSE
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = said, DETAIL = details,
            SCHEMA = in_schema, TABLE = in_table, COLUMN = in_column;
    END IF;
END $$;

---
-- Raises what a table raises for the first of some columns that is NULL in a row.
CREATE OR REPLACE FUNCTION compat.refuse_null(
    given anyelement, in_schema text, in_table text, VARIADIC required text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lacking text;
    c text;
BEGIN
    FOREACH c IN ARRAY required LOOP
        EXECUTE format('SELECT %L WHERE ($1).%I IS NOT DISTINCT FROM NULL', c, c) INTO lacking USING given;
        EXIT WHEN lacking IS NOT NULL;
    END LOOP;
    PERFORM compat.raise_of_table('23502',
        format('null value in column "%s" of relation "%s" violates not-null constraint', lacking, in_table),
        compat.failing_row(given), in_schema, in_table, lacking, NULL);
END $$;

---
-- Raises what a table raises for a row that a CHECK refuses.
CREATE OR REPLACE FUNCTION compat.refuse_check(given anyelement, in_schema text, in_table text, name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
SELECT compat.raise_of_table('23514',
    format('new row for relation "%s" violates check constraint "%s"', in_table, name),
    compat.failing_row(given), in_schema, in_table, NULL, name)
$$;

---
-- Raises for a row that others refer to: the error is of their table, and says the name of this one. A
-- foreign key of theirs may be a twin, or lead to the retired table. The key in `details` is that of the
-- row as it was; who may not see it is not told.
CREATE OR REPLACE FUNCTION compat.raise_of_reference(
    given anyelement, names jsonb, state text, said text, details text,
    in_schema text, in_table text, of_constraint text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child CONSTANT regclass := to_regclass(format('%I.%I', in_schema, in_table));
    parent CONSTANT name := (SELECT r.relname FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid
                             WHERE c.conrelid = child AND c.conname = of_constraint);
    original CONSTANT text := coalesce((SELECT f.name FROM compat.foreign_key f
                                        WHERE f.referencing = child AND f.twin_name = of_constraint),
                                       of_constraint);
    place CONSTANT jsonb := (SELECT p FROM jsonb_array_elements(names -> 'places') p
                             WHERE p #>> '{name,1}' = parent);
    stored text[];
    legacy text[];
BEGIN
    IF place IS NULL AND parent IS DISTINCT FROM names ->> 'retired' THEN
        RETURN;
    END IF;
    SELECT array_agg(a.attname ORDER BY k.n),
           array_agg(coalesce(place -> 'columns' ->> a.attname, a.attname) ORDER BY k.n)
    INTO stored, legacy
    FROM pg_constraint c, unnest(c.confkey) WITH ORDINALITY k(attnum, n), pg_attribute a
    WHERE c.conrelid = child AND c.conname = of_constraint
      AND a.attrelid = c.confrelid AND a.attnum = k.attnum;
    IF compat.key_of(given, legacy, false) = 'Key' THEN
        details := regexp_replace(details, '^Key .*( is (still )?referenced from table )', 'Key\1');
    END IF;
    details := replace(details, format('(%s)=', array_to_string(stored, ', ')),
                       format('(%s)=', array_to_string(legacy, ', ')));
    said := replace(replace(said, format('"%s"', parent), format('"%s"', names #>> '{legacy,1}')),
                    format('"%s"', of_constraint), format('"%s"', original));
    PERFORM compat.raise_of_table(state, said, details, in_schema, in_table, NULL, original);
END $$;

---
-- What an error says of a partition, or of a key to one, said of the partitioned table; no row where it
-- speaks of neither.
CREATE OR REPLACE FUNCTION compat.above_partitions(
    in_schema text, in_table text, of_constraint text, said text)
RETURNS TABLE (schema_name text, table_name text, constraint_name text, message text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
WITH RECURSIVE above AS (
    SELECT c.oid, c.conname, c.conparentid, c.confrelid FROM pg_constraint c
    WHERE c.conrelid = to_regclass(format('%I.%I', in_schema, in_table)) AND c.conname = of_constraint
    UNION ALL
    SELECT c.oid, c.conname, c.conparentid, c.confrelid FROM above a JOIN pg_constraint c ON c.oid = a.conparentid
), of_index AS (
    SELECT relname FROM pg_class WHERE oid = pg_partition_root(to_regclass(format('%I.%I', in_schema, of_constraint)))
)
SELECT n.nspname, r.relname, coalesce(top.conname, (SELECT relname FROM of_index), of_constraint),
       replace(said, format('"%s"', below.relname), format('"%s"', parent.relname))
FROM (SELECT to_regclass(format('%I.%I', in_schema, in_table)) AS relation) AS given
JOIN pg_class r ON r.oid = coalesce(pg_partition_root(given.relation), given.relation)
JOIN pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN above AS top ON top.conparentid = 0
LEFT JOIN above AS bottom ON bottom.conname = of_constraint
LEFT JOIN pg_class parent ON parent.oid = top.confrelid
LEFT JOIN pg_class below ON below.oid = bottom.confrelid
WHERE r.oid <> given.relation OR top.oid <> bottom.oid
$$;

---
-- The legacy key that an index of a place stands for which the mapping does not name: one of a bridge.
CREATE OR REPLACE FUNCTION compat.legacy_key(names jsonb, place jsonb, index regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT k.value FROM jsonb_each(names -> 'of_legacy') AS k
WHERE ARRAY(SELECT jsonb_array_elements_text(k.value -> 'columns') ORDER BY 1) = (
    SELECT array_agg(place -> 'columns' ->> a.attname ORDER BY place -> 'columns' ->> a.attname)
    FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indexrelid = index)
  AND k.value ->> 'parent' IS NULL
LIMIT 1
$$;

---
-- Raises an error of a place, or of the retired table, as the legacy table would have; returns when the
-- error is of another table. `names` (compat.compile.errors) tells how the constraints correspond.
CREATE OR REPLACE FUNCTION compat.raise_as_legacy(
    given anyelement, names jsonb, state text, said text, details text,
    in_schema text, in_table text, in_column text, of_constraint text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    legacy_schema CONSTANT text := names #>> '{legacy,0}';
    legacy CONSTANT text := names #>> '{legacy,1}';
    place CONSTANT jsonb := (SELECT p FROM jsonb_array_elements(names -> 'places') p
                             WHERE p -> 'name' = jsonb_build_array(in_schema, in_table));
    is_retired CONSTANT boolean := in_schema = legacy_schema AND in_table = names ->> 'retired';
    known CONSTANT jsonb := coalesce(
        CASE WHEN is_retired THEN names -> 'of_legacy' ELSE place -> 'constraints' END -> of_constraint,
        compat.legacy_key(names, place, to_regclass(format('%I.%I', in_schema, of_constraint))));
    name CONSTANT text := coalesce(known ->> 'name', of_constraint);
    columns CONSTANT text[] := ARRAY(SELECT jsonb_array_elements_text(known -> 'columns'));
    whole record;
    key text;
BEGIN
    SELECT * INTO whole FROM compat.above_partitions(in_schema, in_table, of_constraint, said);
    IF FOUND THEN
        PERFORM compat.raise_as_legacy(given, names, state, coalesce(whole.message, said), details,
                                       whole.schema_name, whole.table_name, in_column, whole.constraint_name);
        RETURN;
    END IF;
    IF state = '23503' AND said LIKE 'insert or update%' AND (place IS NOT NULL OR is_retired) THEN
        said := format('insert or update on table "%s" violates foreign key constraint "%s"', legacy, name);
        IF details NOT LIKE 'MATCH FULL%' AND cardinality(columns) > 0 THEN
            details := format('%s is not present in table "%s".', compat.key_of(given, columns, false),
                              known ->> 'parent');
        END IF;
    ELSIF state IN ('23503', '23001') THEN
        -- A row that others refer to: the error speaks of their table, and names this one.
        PERFORM compat.raise_of_reference(given, names, state, said, details, in_schema, in_table, of_constraint);
        RETURN;
    ELSIF NOT coalesce(place IS NOT NULL OR is_retired, false) OR state = '23514' AND of_constraint = '' THEN
        RETURN;  -- of another table; or there is no partition for the row
    ELSIF state = '23502' THEN
        in_column := coalesce(place -> 'columns' ->> in_column, in_column);
        said := format('null value in column "%s" of relation "%s" violates not-null constraint', in_column, legacy);
        details := compat.failing_row(given);
    ELSIF state = '23514' THEN
        said := format('new row for relation "%s" violates check constraint "%s"', legacy, name);
        details := compat.failing_row(given);
    ELSIF state = '23505' THEN
        said := format('duplicate key value violates unique constraint "%s"', name);
        IF cardinality(columns) > 0 THEN
            key := compat.key_of(given, columns, true);
            details := CASE WHEN key <> 'Key' THEN key || ' already exists.' END;
        END IF;
    ELSIF state = '23P01' THEN
        said := format('conflicting key value violates exclusion constraint "%s"', name);
        key := compat.key_of(given, columns, true);
        -- The other row's values stand in the target's error only, where they may be converted.
        details := CASE WHEN cardinality(columns) = 0 THEN details
                        WHEN key = 'Key' OR NOT (known ->> 'same_values')::boolean
                        THEN 'Key conflicts with existing key.'
                        ELSE regexp_replace(details, '^.*(conflicts with existing key) \(.*?\)=',
                                            format('%s \1 %s)=', key, substr(split_part(key, ')=(', 1), 5))) END;
    END IF;
    PERFORM compat.raise_of_table(state, said, details, legacy_schema, legacy, nullif(in_column, ''), name);
END $$;

---
-- The function that tells whether others refer to a row of the view, so that deleting it may fail. It
-- knows nobody until `watch_references` has looked, which finds it by its comment.
CREATE OR REPLACE FUNCTION compat.define_references(name text, mapping_name text, legacy regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signature CONSTANT text := name || '(anyelement)';
BEGIN
    IF to_regprocedure(signature) IS NULL THEN
        EXECUTE format('CREATE FUNCTION %s(given anyelement) RETURNS boolean LANGUAGE plpgsql STABLE '
                       'AS %L', name, 'BEGIN RETURN false; END');
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature, 'references of ' || mapping_name);
    END IF;
    PERFORM compat.own(signature::regprocedure, legacy);
    -- Its caller has a fixed one, and setting it again is dear.
    EXECUTE format('ALTER FUNCTION %s RESET search_path', signature);
END $$;

---
-- Writes that function anew for the foreign keys that lead to `source`, the retired table; NULL: none.
-- A table that has been renamed since is not looked at; one that the owner may not read may refer to it.
CREATE OR REPLACE FUNCTION compat.watch_references(mapping_name text, source regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    routine CONSTANT oid := (
        SELECT oid FROM pg_proc WHERE pronamespace = 'compat'::regnamespace
        AND obj_description(oid, 'pg_proc') = 'references of ' || mapping_name);
    looks text;
BEGIN
    SELECT string_agg(format(
        'IF NOT has_table_privilege(to_regclass(%L), ''SELECT'') THEN RETURN true; '
        'ELSIF to_regclass(%L) IS NOT NULL THEN '
        'IF EXISTS (SELECT FROM %s AS other WHERE %s) THEN RETURN true; END IF; END IF; ',
        child, child, child, condition), '')
    INTO looks
    FROM (
        SELECT format('%I.%I', n.nspname, r.relname) AS child,
               string_agg(format('given.%I OPERATOR(%I.%s) other.%I', b.attname,
                                 o.oprnamespace::regnamespace::name, o.oprname, a.attname),
                          ' AND ' ORDER BY k.n) AS condition
        FROM pg_constraint c
        JOIN pg_class r ON r.oid = c.conrelid
        JOIN pg_namespace n ON n.oid = r.relnamespace
        CROSS JOIN unnest(c.conkey, c.confkey, c.conpfeqop) WITH ORDINALITY k(mine, its, operator, n)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.mine
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.its
        JOIN pg_operator o ON o.oid = k.operator
        WHERE c.contype = 'f' AND c.confrelid = source AND c.conrelid <> source AND c.conparentid = 0
          AND c.confdeltype IN ('a', 'r')
          AND (NOT c.condeferred OR EXISTS (  -- a retired table, whose keys `defer_foreign_keys` has deferred
              SELECT FROM pg_trigger WHERE tgrelid = c.conrelid
              AND tgfoid = 'compat.refuse_late_write()'::regprocedure))
        GROUP BY c.oid, n.nspname, r.relname
    ) AS fk;
    IF routine IS NOT NULL THEN
        EXECUTE format('CREATE OR REPLACE FUNCTION compat.%I(given anyelement) RETURNS boolean '
                       'LANGUAGE plpgsql STABLE AS %L',
                       (SELECT proname FROM pg_proc WHERE oid = routine),
                       format('BEGIN %sRETURN false; END', looks));
    END IF;
END $$;
