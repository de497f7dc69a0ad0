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
-- Halves and shared targets: only the rows that are this mapping's must be missing.
CREATE OR REPLACE FUNCTION compat.require_untagged(relation regclass, tag name, value text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    has_rows boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I::text = $1)', relation, tag)
    INTO has_rows USING value;
    IF has_rows THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the target %s holds rows with %I = %L', relation, tag, value),
            HINT = 'These rows come from the legacy table; delete them first.';
    END IF;
END $$;

---
-- The view is the legacy owner's, and reaches the target with the owner's rights only.
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
END $$;

---
-- What another migration fills must be full before children of its rows are brought over.
CREATE OR REPLACE FUNCTION compat.require_full(children regclass, parent regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    filling record;
    is_needed boolean;
BEGIN
    FOR filling IN
        SELECT m.name, to_regclass(format('%I.%I', document #>> '{legacy,schema}', document #>> '{legacy,name}')) AS source
        FROM compat.mapping m
        WHERE phase IN ('expanded', 'copying')
          AND to_regclass(format('%I.%I', document #>> '{target,schema}', document #>> '{target,name}')) = parent
        ORDER BY m.name
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', filling.source) INTO is_needed;
        IF is_needed THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('%s, where %s has its parents, is not filled yet', parent, children),
                HINT = format('Run `compat copy %s --execute` first: parents before children.', filling.name);
        END IF;
    END LOOP;
END $$;

---
-- A foreign key of a table that the sync writes must not lead to rows that are still to be copied: those
-- of another migration, or, by columns that this one writes, of the table itself.
CREATE OR REPLACE FUNCTION compat.require_filled(
    children regclass, relation regclass, key_name text, written text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fk pg_constraint;
    is_own boolean;
    is_needed boolean;
BEGIN
    SELECT * INTO fk FROM pg_constraint WHERE conrelid = relation AND conname = key_name AND contype = 'f';
    is_own := fk.confrelid = relation AND written @> ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = relation AND attnum = ANY (fk.confkey));
    IF NOT is_own THEN
        PERFORM compat.require_full(children, fk.confrelid);
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', children) INTO is_needed;
    IF is_own AND is_needed THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the foreign key %I of %s leads to rows of the table itself, which are still to be copied: '
                             'writes to %s would be refused', key_name, relation, children),
            HINT = format('ALTER TABLE %s DROP CONSTRAINT %I; add it again, NOT VALID and then VALIDATE, when the copy is done.',
                          relation, key_name);
    END IF;
END $$;

---
-- The children of a lookup find their parents in this table by either column, with the rights of the
-- owner of the children's legacy table; what another migration fills must be full.
CREATE OR REPLACE FUNCTION compat.require_parent(
    children regclass, parent regclass, key_column text, legacy_columns text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    reader oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = children);
    columns jsonb;
    names text;
BEGIN
    FOREACH columns IN ARRAY ARRAY[jsonb_build_array(key_column), to_jsonb(legacy_columns)] LOOP
        IF NOT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = parent AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
              AND 0 <> ALL (i.indkey) AND columns @> (
                SELECT jsonb_agg(a.attname) FROM pg_attribute a
                WHERE a.attrelid = parent AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))) THEN
            names := (SELECT string_agg(quote_ident(name), ', ') FROM jsonb_array_elements_text(columns) name);
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('%s of %s is not unique, so it cannot tell parents apart', names, parent),
                HINT = format('ALTER TABLE %s ADD UNIQUE (%s)', parent, names);
        END IF;
    END LOOP;
    IF NOT has_table_privilege(reader, parent, 'SELECT') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = format('%I, the owner of %s, may not read %s', pg_get_userbyid(reader), children, parent),
            HINT = format('GRANT SELECT ON %s TO %I', parent, pg_get_userbyid(reader));
    END IF;
    PERFORM compat.require_full(children, parent);
END $$;

---
-- A migration whose rows others look up must go on filling its table until these are done.
-- `numbers` are the columns by which others know them, `tag` tells them from rows of other migrations.
CREATE OR REPLACE FUNCTION compat.require_no_children(mapping_name text, parent regclass, numbers text[], tag text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child record;
BEGIN
    SELECT m.name, r ->> 'legacy' AS reference, m.phase INTO child
    FROM compat.mapping m, json_array_elements(m.document -> 'rules') r
    WHERE m.name <> mapping_name AND m.phase <> 'contracted' AND r ->> 'rule' = 'lookup'
      AND to_regclass(format('%I.%I', r #>> '{parent,schema}', r #>> '{parent,name}')) = parent
      AND coalesce(r #>> '{parent,legacy}', 'legacy_id') = ANY (numbers)
      AND coalesce(r #>> '{parent,tag,1}' = tag, true)
    ORDER BY m.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the mapping %s finds in %s the rows that its column %s references',
                             quote_ident(child.name), parent, quote_ident(child.reference)),
            HINT = format('Take %s back first: %s`compat unexpand %1$s --execute`.', quote_ident(child.name),
                          CASE WHEN child.phase = 'cutover'
                               THEN format('`compat rollback %s --execute`, then ', quote_ident(child.name)) ELSE '' END);
    END IF;
END $$;

---
-- References of a table to itself, by the number of a row, must all have got the key of that row.
CREATE OR REPLACE FUNCTION compat.require_settled_references(relation regclass, key_column text, number_column text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    number text;
BEGIN
    EXECUTE format('SELECT %2$I::text FROM %1$s WHERE %3$I IS NULL AND %2$I IS NOT NULL LIMIT 1',
                   relation, number_column, key_column) INTO number;
    IF number IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s has a row with %I = %s, which no row has for its number', relation, number_column, number),
            HINT = 'Correct that reference in the legacy table, or bring the row that it means.';
    END IF;
END $$;

---
-- A table must not be partitioned by columns that BEFORE triggers of a migration write. `what` names these.
CREATE OR REPLACE FUNCTION compat.require_unmoved(relation regclass, columns text[], what text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written text;
BEGIN
    -- An expression over them depends on them as a column in the key does.
    SELECT string_agg(DISTINCT quote_ident(a.attname), ', ') INTO written
    FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid
    WHERE p.partrelid = relation AND a.attname = ANY (columns)
      AND (a.attnum = ANY (p.partattrs) OR 0 = ANY (p.partattrs) AND EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = relation AND d.objsubid = 0
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.refobjsubid = a.attnum));
    IF written IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s is partitioned by %s, which triggers of %s write: PostgreSQL moves no row to '
                             'another partition then', relation, written, what),
            HINT = 'Use form=''instead_of'' and no keep=... there, or partition the table by another column.';
    END IF;
END $$;

---
-- True when a table has been truncated and nothing written since. A TRUNCATE ... CASCADE that empties
-- both sides in one command loses nothing on either: AFTER triggers of TRUNCATE ask this.
CREATE OR REPLACE FUNCTION compat.is_truncated(relation regclass)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT sum(pg_relation_size(r)) = 0
FROM (SELECT relation UNION SELECT relid FROM pg_partition_tree(relation)) AS t(r)
$$;

---
-- Before the cutover the target belongs to the sync and the copy; what anybody else writes there
-- would be overwritten or taken for a leftover. So it is refused, unless somebody insists.
-- Argument: the legacy table, as PostgreSQL writes it.
CREATE OR REPLACE FUNCTION compat.refuse_early_write()
RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND compat.is_truncated(TG_ARGV[0]) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = format('%s takes no writes of its own before the cutover', TG_RELID::regclass),
        HINT = 'Write to the legacy table; its rows come here by themselves. For columns that only '
               'this table has: SET compat.early_writes = on.';
END $$;

---
-- After the cutover the retired table belongs to the reverse sync. What still means it (an updatable
-- view, a rule, a function made before) would write rows that nothing carries to the target, and that
-- a contract drops. Allowed are the reverse function and the cascades of foreign keys, told by the
-- call stack: a setting or the depth of triggers would also let through what a user's trigger writes.
-- No SET search_path: it would double the cost to each row that is synced back, and nothing here
-- runs with more rights than the caller's. Who insists says SET compat.late_writes = on.
-- Arguments: the reverse function, the view, the target, each as PostgreSQL writes it.
CREATE OR REPLACE FUNCTION compat.refuse_late_write()
RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stack text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    IF pg_catalog.strpos(stack, TG_ARGV[0]) > 0
       OR pg_catalog.current_setting('compat.late_writes', true) = 'on' THEN
        RETURN NULL;
    ELSIF TG_OP = 'TRUNCATE' THEN
        IF compat.is_truncated(pg_catalog.to_regclass(TG_ARGV[2])) THEN
            RETURN NULL;
        END IF;
    ELSIF pg_catalog.pg_trigger_depth() > 1
          AND pg_catalog.split_part(stack, E'\n', 2) ~ '(DELETE FROM|UPDATE) (ONLY )?".* OPERATOR\(' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = pg_catalog.format('%s takes no writes of its own: nothing would carry them to %s',
                                    TG_RELID::pg_catalog.regclass, TG_ARGV[2]),
        HINT = pg_catalog.format('Write to %s by its name. A view, rule or function that was made before the '
                                 'cutover still means the old table: create it again.', TG_ARGV[1]);
END $$;

---
-- Attaches refuse_late_write to the retired table and to its partitions, which have names of their own.
CREATE OR REPLACE FUNCTION compat.guard_retired(
    retired regclass, reverse regprocedure, view regclass, target regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation regclass;
    call CONSTANT text := format('FOR EACH STATEMENT EXECUTE FUNCTION compat.refuse_late_write(%L, %L, %L)',
                                 reverse, view, target);
BEGIN
    FOR relation IN SELECT retired UNION SELECT relid FROM pg_partition_tree(retired) LOOP
        EXECUTE format('CREATE TRIGGER "00_compat_late_writes" BEFORE INSERT OR UPDATE OR DELETE ON %s %s',
                       relation, call);
        EXECUTE format('CREATE TRIGGER "00_compat_late_truncate" AFTER TRUNCATE ON %s %s', relation, call);
    END LOOP;
END $$;

---
CREATE OR REPLACE FUNCTION compat.unguard_retired(retired regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    guard record;
BEGIN
    FOR guard IN
        SELECT tgname AS name, tgrelid::regclass AS relation FROM pg_trigger
        WHERE tgfoid = 'compat.refuse_late_write'::regproc
          AND tgrelid IN (SELECT retired UNION SELECT relid FROM pg_partition_tree(retired))
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', guard.name, guard.relation);
    END LOOP;
END $$;
