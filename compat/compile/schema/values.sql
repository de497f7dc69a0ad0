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
