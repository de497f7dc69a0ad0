-- What had been moved with the name of a relation, or could not be.
CREATE TABLE IF NOT EXISTS compat.dependent (
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('view', 'rule', 'function', 'policy')),
    object text NOT NULL,
    definition text NOT NULL,
    left_behind text,
    PRIMARY KEY (mapping, kind, object)
);

---
-- What means a relation by its identity: each with the statement that defines it again. Executed while
-- another relation has the name, that statement means the other one; owner, rights, comments, and what
-- depends on the object in turn, stay. Not what takes or returns rows of the relation's type, which no
-- statement can change, nor the views of migrations.
CREATE OR REPLACE FUNCTION compat.definitions_over(relation regclass)
RETURNS TABLE (kind text, object text, holder regclass, owner oid, definition text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
WITH rules AS (
    SELECT DISTINCT r.oid, r.rulename, v.oid AS holder, v.relowner, v.relkind, v.reloptions
    FROM pg_depend d
    JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> relation
    JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation
      AND v.relnamespace <> 'compat'::regnamespace
      AND NOT EXISTS (SELECT FROM compat.mapping m
                      WHERE v.oid = to_regclass(format('%I.%I', m.document #>> '{legacy,schema}',
                                                       m.document #>> '{legacy,name}')))
)
SELECT 'view', holder::regclass::text, holder, relowner,
       format('CREATE OR REPLACE VIEW %s %s AS %s', holder::regclass,
              'WITH (' || array_to_string(reloptions, ', ') || ')', pg_get_viewdef(holder))
FROM rules WHERE rulename = '_RETURN' AND relkind = 'v'
UNION ALL
SELECT 'rule', format('%I on %s', rulename, holder::regclass), holder, relowner,
       regexp_replace(pg_get_ruledef(oid), '^CREATE RULE', 'CREATE OR REPLACE RULE')
FROM rules WHERE rulename <> '_RETURN'
UNION ALL
SELECT DISTINCT 'function', p.oid::regprocedure::text, NULL::regclass, p.proowner, pg_get_functiondef(p.oid)
FROM pg_depend d
JOIN pg_proc p ON p.oid = d.objid AND p.prosqlbody IS NOT NULL
JOIN pg_class c ON c.oid = relation AND c.reltype <> ALL (coalesce(p.proallargtypes, p.proargtypes) || p.prorettype)
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation
UNION ALL
SELECT DISTINCT 'policy', format('%I on %s', p.polname, p.polrelid::regclass), p.polrelid::regclass, c.relowner,
       format('ALTER POLICY %I ON %s%s%s', p.polname, p.polrelid::regclass,
              ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
              ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid JOIN pg_class c ON c.oid = p.polrelid
WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation
  AND p.polrelid <> relation
$$;

---
-- Locks what will be defined again, before `relation` itself is locked: as those do who read it.
CREATE OR REPLACE FUNCTION compat.lock_dependents(relation regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT DISTINCT d.holder, c.relkind, pg_get_userbyid(c.relowner) AS owner
        FROM compat.definitions_over(relation) d JOIN pg_class c ON c.oid = d.holder
        WHERE pg_has_role(d.owner, 'USAGE') ORDER BY 1
    LOOP
        IF item.relkind = 'v' THEN
            -- LOCK TABLE would lock what the view reads as well, and ask whether its owner may.
            EXECUTE format('ALTER VIEW %s OWNER TO %I', item.holder, item.owner);
        ELSE
            EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', item.holder);
        END IF;
    END LOOP;
    IF FOUND THEN
        PERFORM compat.hurry();
    END IF;
END $$;

---
-- Writes down what means `relation`, while it still has its name.
CREATE OR REPLACE FUNCTION compat.note_dependents(mapping_name text, relation regclass)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
DELETE FROM compat.dependent WHERE mapping = mapping_name;
INSERT INTO compat.dependent (mapping, kind, object, definition)
SELECT mapping_name, kind, object, definition FROM compat.definitions_over(relation)
WHERE pg_has_role(owner, 'USAGE')
$$;

---
-- Defines it all again, so that it means whatever has the name now. A view that cannot be defined over
-- it (it groups by the key, it shows ctid) stays with the old one, where reading goes on.
CREATE OR REPLACE FUNCTION compat.follow_name(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item compat.dependent;
BEGIN
    FOR item IN SELECT * FROM compat.dependent WHERE mapping = mapping_name ORDER BY kind, object LOOP
        BEGIN
            EXECUTE item.definition;
        EXCEPTION WHEN syntax_error_or_access_rule_violation OR feature_not_supported THEN
            IF item.kind <> 'view' THEN
                RAISE EXCEPTION USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    MESSAGE = format('the %s %s cannot follow the name: %s', item.kind, item.object, SQLERRM),
                    HINT = 'Drop it before the cutover, and create it again after it.';
            END IF;
            UPDATE compat.dependent d SET left_behind = SQLERRM
            WHERE (d.mapping, d.kind, d.object) = (item.mapping, item.kind, item.object);
        END;
    END LOOP;
END $$;

---
-- Triggers of the legacy table that belong to what its clients do, not to what is stored: those before
-- a row, which may change or skip it, and those of a statement. A view has their like: a trigger
-- INSTEAD OF runs before ours by its name, hands on what it returns, or skips the row. Not those with
-- what a view's trigger cannot have (conditions, columns, transition tables), and not those whose
-- function looks at how it was called.
CREATE OR REPLACE FUNCTION compat.movable_triggers(relation regclass)
RETURNS TABLE (trigger oid, name name, definition text) LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT t.oid, t.tgname,
       replace(substr(d.text, d.head, d.middle - d.head), ' BEFORE ',
               CASE t.tgtype & 1 WHEN 1 THEN ' INSTEAD OF ' ELSE ' BEFORE ' END)
       || ' ON %s ' || replace(substr(d.text, d.middle + length(d.place)), '%', '%%')
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid AND c.relkind = 'r'
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_language l ON l.oid = p.prolang
CROSS JOIN LATERAL (
    SELECT pg_get_triggerdef(t.oid) AS text, ' ON ' || relation || ' ' AS place,
           length('CREATE TRIGGER ' || quote_ident(t.tgname)) + 1 AS head
) AS start
CROSS JOIN LATERAL (
    SELECT start.*, start.head - 1 + strpos(substr(start.text, start.head), start.place) AS middle
) AS d
WHERE t.tgrelid = relation AND NOT t.tgisinternal AND t.tgconstraint = 0 AND t.tgenabled = 'O'
  AND t.tgname NOT LIKE '00\_compat%'
  AND (t.tgtype & 3 = 3 OR t.tgtype & 1 = 0) AND t.tgtype & 32 = 0
  AND t.tgqual IS NULL AND t.tgattr = ''::int2vector AND t.tgoldtable IS NULL AND t.tgnewtable IS NULL
  AND l.lanname NOT IN ('c', 'internal') AND p.prosrc !~* '\mtg_(when|name|relid)\M'
  AND has_function_privilege(p.oid, 'EXECUTE')
$$;

---
-- Moves them to the view, if that has INSTEAD OF triggers. The old ones are off until a rollback.
CREATE OR REPLACE FUNCTION compat.move_triggers(retired regclass, view regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
    new_name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = view AND tgname = 'compat_update') THEN
        RETURN;
    END IF;
    FOR item IN
        SELECT m.*, row_number() OVER (ORDER BY m.name) AS number FROM compat.movable_triggers(retired) m
    LOOP
        new_name := format('compat_before_%s', lpad(item.number::text, 3, '0'));
        EXECUTE format('CREATE TRIGGER %I', new_name) || format(item.definition, view);
        EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', new_name, view, item.name);
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', retired, item.name);
    END LOOP;
END $$;

---
CREATE OR REPLACE FUNCTION compat.return_triggers(retired regclass, view regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT v.tgname AS moved, t.tgname AS name
        FROM pg_trigger v
        LEFT JOIN pg_trigger t ON t.tgrelid = retired AND t.tgname = obj_description(v.oid, 'pg_trigger')
        WHERE v.tgrelid = view AND v.tgname LIKE 'compat\_before\_%'
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', item.moved, view);
        IF item.name IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s ENABLE TRIGGER %I', retired, item.name);
        END IF;
    END LOOP;
END $$
