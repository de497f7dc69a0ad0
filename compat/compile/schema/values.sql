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
-- The same for a value whose text may not stand in an index: that of an enum depends on the catalogue.
CREATE OR REPLACE FUNCTION compat.refuse_any(message text, value anyelement, as_type anycompatible)
RETURNS anycompatible LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT compat.refuse(message, value::text, as_type) $$;

---
-- Raises for a reference to a parent that is not there, as the foreign key would; a NULL passes.
-- VOLATILE: anything less may be evaluated while a statement is planned, before the parent is found.
CREATE OR REPLACE FUNCTION compat.refuse_orphan(
    table_schema text, table_name text, column_name text, key_name text, parent text, value text)
RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'foreign_key_violation',
        MESSAGE = CASE WHEN key_name IS NULL
            THEN format('%s of table "%s" references a row that does not exist', column_name, table_name)
            ELSE format('insert or update on table "%s" violates foreign key constraint "%s"',
                        table_name, key_name) END,
        DETAIL = format('Key (%s)=(%s) is not present in table "%s".', column_name, value, parent),
        SCHEMA = table_schema, TABLE = table_name, CONSTRAINT = coalesce(key_name, '');
END $$;

---
-- Puts a value into a document at a path of keys and places, and makes what is missing on the way.
-- A NULL removes the member (delete_key), writes null (use_json_null) or does nothing (return_target);
-- a place in an array that others follow becomes null instead. As jsonb_set_lax(), which makes nothing.
CREATE OR REPLACE FUNCTION compat.jsonb_put(document jsonb, path jsonb, value jsonb, if_null text)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    step CONSTANT jsonb := path -> 0;
    is_place CONSTANT boolean := jsonb_typeof(step) = 'number';
    key CONSTANT text := path ->> 0;
    current CONSTANT jsonb := CASE WHEN is_place THEN document -> key::int ELSE document -> key END;
    member jsonb := value;
BEGIN
    IF value IS NULL AND (if_null = 'return_target' OR if_null = 'delete_key' AND current IS NULL) THEN
        RETURN document;
    ELSIF jsonb_array_length(path) > 1 THEN
        member := compat.jsonb_put(CASE WHEN current <> 'null' THEN current
                                        WHEN jsonb_typeof(path -> 1) = 'number' THEN '[]' ELSE '{}' END,
                                   path - 0, value, if_null);
    ELSIF value IS NULL AND (if_null = 'use_json_null'
                             OR is_place AND key::int < jsonb_array_length(document) - 1) THEN
        member := 'null';
    END IF;
    IF NOT is_place THEN
        RETURN CASE WHEN member IS NULL THEN document - key ELSE jsonb_set(document, ARRAY[key], member) END;
    ELSIF member IS NULL THEN
        document := document - key::int;
        WHILE document -> -1 = 'null' LOOP
            document := document - -1;
        END LOOP;
        RETURN document;
    END IF;
    WHILE jsonb_array_length(document) < key::int LOOP
        document := document || '[null]';
    END LOOP;
    RETURN jsonb_set(document, ARRAY[key], member);
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
