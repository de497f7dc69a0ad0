-- Raises for a row whose two shapes do not say the same (compat.compile.bridge).
CREATE OR REPLACE FUNCTION compat.contradict(
    schema_name text, table_name text, legacy_column text, legacy_value text, target_column text, target_value text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        MESSAGE = format('%I.%I: %I = %s contradicts %I = %s', schema_name, table_name,
                         legacy_column, coalesce(quote_literal(legacy_value), 'NULL'),
                         target_column, coalesce(quote_literal(target_value), 'NULL')),
        HINT = format('Write %I alone; the other follows.', target_column),
        SCHEMA = schema_name, TABLE = table_name, COLUMN = target_column;
END $$;

---
-- Raises for a NULL in a column that the legacy table does not allow it in, in its own words.
CREATE OR REPLACE FUNCTION compat.refuse_null(schema_name text, table_name text, column_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'not_null_violation',
        MESSAGE = format('null value in column "%s" of relation "%s" violates not-null constraint',
                         column_name, table_name),
        SCHEMA = schema_name, TABLE = table_name, COLUMN = column_name;
END $$;

---
-- Gives a view the owner of a table, and rights to nobody else.
CREATE OR REPLACE FUNCTION compat.own_view(heir regclass, source regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = source);
BEGIN
    IF owner <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = heir) THEN
        EXECUTE format('ALTER VIEW %s OWNER TO %I', heir, owner);
    END IF;
    PERFORM compat.revoke_all(heir);
END $$;

---
-- The indexes of `source` in which one of the `bridged` columns occurs, as they would be of `carrier`,
-- unless it lacks one of the others. PostgreSQL itself puts the names of the columns in their place: in
-- a copy of the indexes on an empty table. Not those of deferrable constraints, whose values may meet
-- for a while, nor of exclusion constraints: no ON CONFLICT takes a column's value for theirs.
CREATE OR REPLACE FUNCTION compat.bridge_indexes(
    source regclass, names text[], carrier_names text[], bridged text[])
RETURNS TABLE (is_unique boolean, definition text) LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shape regclass;
    item record;
BEGIN
    EXECUTE format('CREATE TEMPORARY TABLE compat_shape (LIKE %s INCLUDING INDEXES)', source);
    shape := 'pg_temp.compat_shape'::regclass;
    -- In two steps, since the names may change places.
    FOR item IN SELECT attname, attnum FROM pg_attribute WHERE attrelid = shape AND attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', shape, item.attname,
                       'compat ' || item.attnum);
    END LOOP;
    FOR item IN
        SELECT a.attnum, n.carrier_name FROM pg_attribute a
        JOIN unnest(names, carrier_names) AS n(name, carrier_name) ON n.name = a.attname
        WHERE a.attrelid = source AND a.attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', shape, 'compat ' || (
            SELECT count(*) FROM pg_attribute b WHERE b.attrelid = source AND b.attnum > 0
            AND NOT b.attisdropped AND b.attnum <= item.attnum), item.carrier_name);
    END LOOP;
    RETURN QUERY
        SELECT i.indisunique, regexp_replace(pg_get_indexdef(i.indexrelid),
                   '^.*? ON (pg_temp[_0-9]*\.)?compat_shape USING ', '')
        FROM pg_index i CROSS JOIN LATERAL (
            SELECT array_agg(a.attname::text) AS columns FROM pg_attribute a
            WHERE a.attrelid = shape AND a.attnum > 0 AND (
                a.attnum = ANY (i.indkey) OR EXISTS (
                    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = i.indexrelid AND d.refobjid = shape
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid = a.attnum))
        ) AS used
        WHERE i.indrelid = shape AND i.indimmediate AND NOT i.indisexclusion
          AND used.columns <@ carrier_names
          AND used.columns && (SELECT array_agg(n.carrier_name) FROM unnest(names, carrier_names)
                               AS n(name, carrier_name) WHERE n.name = ANY (bridged))
        ORDER BY i.indexrelid;
    EXECUTE format('DROP TABLE %s', shape);
END $$;

---
-- Creates them on `carrier`.
CREATE OR REPLACE FUNCTION compat.index_bridge(
    source regclass, carrier regclass, names text[], carrier_names text[], bridged text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT * FROM compat.bridge_indexes(source, names, carrier_names, bridged)
    LOOP
        EXECUTE format('CREATE %s INDEX ON %s USING %s',
                       CASE WHEN item.is_unique THEN 'UNIQUE' ELSE '' END, carrier, item.definition);
    END LOOP;
END $$;

---
-- Notes them for the end of a copy, which builds them concurrently; `prefix` begins their names.
CREATE OR REPLACE FUNCTION compat.defer_bridge_indexes(
    mapping_name text, prefix text, source regclass, carrier regclass, names text[], carrier_names text[],
    bridged text[])
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
INSERT INTO compat.deferred_index (mapping, name, definition)
SELECT mapping_name, prefix || number, format('CREATE %sINDEX %I ON %s USING %s',
           CASE WHEN is_unique THEN 'UNIQUE ' ELSE '' END, prefix || number, carrier, definition)
FROM compat.bridge_indexes(source, names, carrier_names, bridged)
    WITH ORDINALITY AS found(is_unique, definition, number)
$$;

---
-- Raises where something means the target that a view is to stand for (form `reversed`): it would go
-- on to mean the empty table.
CREATE OR REPLACE FUNCTION compat.require_unused(target regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    users text;
BEGIN
    SELECT string_agg(DISTINCT what, ', ') INTO users FROM (
        SELECT format('the foreign key %I of %s', conname, conrelid::regclass) AS what
        FROM pg_constraint WHERE contype = 'f' AND confrelid = target AND conrelid <> target
        UNION ALL
        SELECT format('%s', r.ev_class::regclass)
        FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = target AND r.ev_class <> target
    ) AS found;
    IF users IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('%s cannot become a view: %s would go on to mean the empty table', target, users),
            HINT = 'Create these once the target holds the rows: in another form, or after it was switched.';
    END IF;
END $$;
