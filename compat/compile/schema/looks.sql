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
-- Gives a relation exactly these looks: whatever it has been granted otherwise is revoked.
CREATE OR REPLACE FUNCTION compat.wear(heir regclass, looks jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text := CASE (SELECT relkind FROM pg_class WHERE oid = heir) WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END;
    item record;
BEGIN
    IF looks ->> 'owner' <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = heir) THEN
        EXECUTE format('ALTER %s %s OWNER TO %I', kind, heir, looks ->> 'owner');
    END IF;
    EXECUTE format('COMMENT ON %s %s IS %L', kind, heir, looks ->> 'comment');
    FOR item IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM (SELECT relacl FROM pg_class WHERE oid = heir
              UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = heir) a(acl), aclexplode(a.acl) g
    LOOP
        -- CASCADE: what a grantee with grant option passed on is granted again below, by the owner.
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s CASCADE', heir, item.grantee);
    END LOOP;
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
