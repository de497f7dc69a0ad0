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
-- Takes back what others than its owner may do with a relation or its columns.
CREATE OR REPLACE FUNCTION compat.revoke_all(relation regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT c.relacl UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = c.oid) a(acl)
        CROSS JOIN aclexplode(a.acl) g
        WHERE c.oid = relation AND g.grantee <> c.relowner
    LOOP
        -- CASCADE: also what a grantee with grant option passed on.
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', relation, grantee);
    END LOOP;
END $$;

---
-- Leaves the relation that has not the legacy name to its owner: a right that is revoked under that name
-- must not live on under the other one. Where something of another owner still reads it, rights stay.
CREATE OR REPLACE FUNCTION compat.withdraw(relation regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_depend d
        JOIN pg_rewrite r ON r.oid = d.objid
        JOIN pg_class reader ON reader.oid = r.ev_class
        JOIN pg_class c ON c.oid = relation AND c.relowner <> reader.relowner
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = relation)
    THEN
        PERFORM compat.revoke_all(relation);
    END IF;
END $$;

---
-- Grants without those to roles that do not exist here.
CREATE OR REPLACE FUNCTION compat.grants_here(grants jsonb)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(jsonb_agg(g), '[]') FROM jsonb_array_elements(coalesce(nullif(grants, 'null'), '[]')) g
WHERE g ->> 0 = 'PUBLIC' OR to_regrole(g ->> 0) IS NOT NULL
$$;

---
-- Looks as they can be had here: a dump may have been restored where their roles do not exist. Where
-- that is so of the owner, the heir stays whose it is.
CREATE OR REPLACE FUNCTION compat.looks_here(looks jsonb, heir regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
WITH there AS (
    SELECT compat.grants_here(looks -> 'grants') AS grants,
           (SELECT coalesce(jsonb_object_agg(c.key, c.value || jsonb_build_object(
                       'grants', compat.grants_here(c.value -> 'grants'))), '{}')
            FROM jsonb_each(looks -> 'columns') c) AS columns
)
SELECT CASE
    WHEN to_regrole(quote_ident(looks ->> 'owner')) IS NOT NULL
    THEN looks || jsonb_build_object('grants', grants, 'columns', columns)
    ELSE looks || jsonb_build_object('columns', columns, 'owner', pg_get_userbyid(relowner), 'grants',
        grants || (SELECT jsonb_agg(jsonb_build_array(quote_ident(pg_get_userbyid(grantee)), privilege_type, false))
                   FROM aclexplode(acldefault('r', relowner))))
    END
FROM there, pg_class WHERE oid = heir
$$;

---
-- Gives a relation exactly these looks: whatever it has been granted otherwise is revoked.
CREATE OR REPLACE FUNCTION compat.wear(heir regclass, looks jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text := CASE (SELECT relkind FROM pg_class WHERE oid = heir) WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END;
    item record;
    owner CONSTANT name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = heir);
BEGIN
    looks := compat.looks_here(looks, heir);
    IF looks ->> 'owner' <> owner THEN
        EXECUTE format('ALTER %s %s OWNER TO %I', kind, heir, looks ->> 'owner');
    END IF;
    EXECUTE format('COMMENT ON %s %s IS %L', kind, heir, looks ->> 'comment');
    PERFORM compat.revoke_all(heir);  -- what was passed on is granted again below, by the owner
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
