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
-- Creates on `carrier` the indexes of `source` in which one of the `bridged` columns occurs, unless it
-- lacks one of the others. PostgreSQL itself puts the names of the columns in their place: in a copy
-- of the indexes on an empty table. Not those of deferrable constraints, whose values may meet for a
-- while, nor of exclusion constraints: no ON CONFLICT takes a column's value for theirs.
CREATE OR REPLACE FUNCTION compat.index_bridge(
    source regclass, carrier regclass, names text[], carrier_names text[], bridged text[])
RETURNS void LANGUAGE plpgsql
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
    FOR item IN
        SELECT i.indisunique, regexp_replace(pg_get_indexdef(i.indexrelid),
                   '^.*? ON (pg_temp[_0-9]*\.)?compat_shape USING ', '') AS definition
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
        ORDER BY i.indexrelid
    LOOP
        EXECUTE format('CREATE %s INDEX ON %s USING %s',
                       CASE WHEN item.indisunique THEN 'UNIQUE' ELSE '' END, carrier,
                       item.definition);
    END LOOP;
    EXECUTE format('DROP TABLE %s', shape);
END $$;
