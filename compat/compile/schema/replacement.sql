-- Locks a view and, beneath it, the table that it is made of, as its writers do; where somebody has
-- dropped the view, the table.
CREATE OR REPLACE FUNCTION compat.lock_view(full_name text, beneath regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', coalesce(to_regclass(full_name), beneath));
END $$;

---
-- The views that are made of a view, directly or through each other, in an order in which they can be
-- made, each with all that it takes to make it anew: as one document.
CREATE OR REPLACE FUNCTION compat.views_of(source regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
WITH RECURSIVE hanging(view, depth) AS (
    SELECT source::oid, 0
    UNION
    SELECT w.ev_class, h.depth + 1
    FROM hanging h
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = h.view
                    AND d.classid = 'pg_rewrite'::regclass AND d.deptype = 'n'
    JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> h.view
    JOIN pg_class c ON c.oid = w.ev_class AND c.relkind = 'v'
), farthest AS (
    SELECT view, max(depth) AS depth FROM hanging WHERE depth > 0 GROUP BY view
)
SELECT coalesce(jsonb_agg(jsonb_build_object(
    'name', c.oid::regclass::text,
    'query', pg_get_viewdef(c.oid),
    'options', 'WITH (' || array_to_string(c.reloptions, ', ') || ')',
    'looks', compat.looks_of(c.oid),
    'belongings', (
        SELECT coalesce(jsonb_agg(statement), '[]') FROM (
            SELECT format('ALTER VIEW %s ALTER COLUMN %I SET DEFAULT %s', c.oid::regclass, a.attname,
                          pg_get_expr(d.adbin, d.adrelid)) AS statement
            FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
            WHERE d.adrelid = c.oid
            UNION ALL
            SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
            UNION ALL
            SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'
        ) AS all_of_them)
    ) ORDER BY f.depth, c.oid), '[]')
FROM farthest f JOIN pg_class c ON c.oid = f.view
$$;

---
-- Makes a view as a CREATE VIEW statement says: in place, where PostgreSQL can, so that all that hangs
-- on it stays. Where a column is gone or has another type, the view and the views that are made of it
-- are dropped and made anew, with their owners, grants, comments, defaults, triggers and rules;
-- whatever else hangs on them raises. Where there is none, it gets the looks that the legacy table had at
-- the cutover; before one those of `model`, and no rights.
CREATE OR REPLACE FUNCTION compat.replace_view(
    schema_name text, view_name text, definition text, model regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    full_name CONSTANT text := format('%I.%I', schema_name, view_name);
    existing CONSTANT regclass := to_regclass(full_name);
    noted CONSTANT jsonb := (SELECT m.looks FROM compat.mapping m
                             WHERE m.phase = 'cutover' AND m.document #>> '{legacy,schema}' = schema_name
                               AND m.document #>> '{legacy,name}' = view_name);
    looks CONSTANT jsonb := compat.looks_of(existing);
    others CONSTANT jsonb := compat.views_of(existing);
    owned text[];
    item jsonb;
    statement text;
BEGIN
    IF existing IS NULL THEN
        EXECUTE definition;
        PERFORM compat.wear(full_name::regclass, coalesce(noted, compat.looks_of(model)));
        IF noted IS NULL THEN
            PERFORM compat.withdraw(full_name::regclass);
        END IF;
        RETURN;
    END IF;
    BEGIN
        EXECUTE regexp_replace(definition, '^CREATE VIEW', 'CREATE OR REPLACE VIEW');
        RETURN;
    EXCEPTION WHEN invalid_table_definition THEN
        NULL;  -- other columns: not in place
    END;
    -- A sequence would be dropped with the view that owns it.
    SELECT array_agg(format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, full_name, a.attname))
    INTO owned
    FROM pg_depend d
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refobjid = existing AND d.deptype = 'a';
    FOREACH statement IN ARRAY coalesce(owned, '{}') LOOP
        EXECUTE regexp_replace(statement, ' OWNED BY .*$', ' OWNED BY NONE');
    END LOOP;
    FOR item IN SELECT o FROM jsonb_array_elements(others) WITH ORDINALITY AS v(o, n) ORDER BY n DESC LOOP
        EXECUTE format('DROP VIEW %s', item ->> 'name');
    END LOOP;
    EXECUTE format('DROP VIEW %s', full_name);
    EXECUTE definition;
    SELECT jsonb_set(looks, '{columns}', coalesce(jsonb_object_agg(c.key, c.value), '{}')) INTO item
    FROM jsonb_each(looks -> 'columns') c
    JOIN pg_attribute a ON a.attrelid = to_regclass(full_name) AND a.attname = c.key;
    PERFORM compat.wear(full_name::regclass, item);
    FOREACH statement IN ARRAY coalesce(owned, '{}') LOOP
        EXECUTE statement;
    END LOOP;
    FOR item IN SELECT o FROM jsonb_array_elements(others) WITH ORDINALITY AS v(o, n) ORDER BY n LOOP
        EXECUTE format('CREATE VIEW %s %s AS %s', item ->> 'name', item ->> 'options', item ->> 'query');
        FOR statement IN SELECT jsonb_array_elements_text(item -> 'belongings') LOOP
            EXECUTE statement;
        END LOOP;
        PERFORM compat.wear((item ->> 'name')::regclass, item -> 'looks');
    END LOOP;
END $$;
