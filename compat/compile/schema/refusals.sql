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
