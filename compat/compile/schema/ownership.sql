-- The search path of a table's generated functions. Their own SQL is qualified, but the triggers and
-- checks of users that they set off often are not, and mean the table's schema. It is in the path
-- only if nobody may create objects there whom the owner has no reason to trust: the functions run
-- with the owner's rights.
CREATE OR REPLACE FUNCTION compat.function_path(relation regclass)
RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT CASE WHEN EXISTS (
    SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g
    LEFT JOIN pg_roles r ON r.oid = g.grantee
    WHERE g.privilege_type = 'CREATE' AND g.grantee <> c.relowner
      AND (r.oid IS NULL OR NOT r.rolsuper AND r.rolname <> 'pg_database_owner'))
    THEN 'pg_catalog, pg_temp' ELSE format('pg_catalog, %I, pg_temp', n.nspname) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

---
-- The generated functions run as the owner of the legacy table, never as whoever installed them:
-- an installer may be a superuser, and whatever the tables call would run with its rights. Nobody may
-- call them, nor put them on a table of his own, whatever the installer's default privileges grant.
-- Unless a view calls them (`in_view`): as whoever uses the view, who cannot name them without a right
-- to the schema, and with whatever path he has: what they say has been resolved when they were made.
CREATE OR REPLACE FUNCTION compat.own(routine regprocedure, relation regclass, in_view boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = relation);
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END
        FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
        WHERE p.oid = routine AND g.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s CASCADE', routine, grantee);
    END LOOP;
    IF NOT has_schema_privilege(owner, 'compat', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA compat TO %I', owner);
    END IF;
    IF NOT has_table_privilege(owner, 'compat.foreign_key', 'SELECT') THEN  -- see raise_of_reference
        EXECUTE format('GRANT SELECT ON compat.foreign_key TO %I', owner);
    END IF;
    IF in_view THEN
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', routine);
    ELSE
        EXECUTE format('ALTER FUNCTION %s SET search_path = %s', routine, compat.function_path(relation));
    END IF;
    IF owner <> (SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = routine) THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', routine, owner);
    END IF;
END $$;

---
-- A view over a table belongs to the table's owner, as its functions do, and to nobody else.
CREATE OR REPLACE FUNCTION compat.give_view(relation regclass, target regclass)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owner name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = target);
BEGIN
    PERFORM compat.revoke_all(relation);
    IF owner <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = relation) THEN
        EXECUTE format('ALTER VIEW %s OWNER TO %I', relation, owner);
    END IF;
END $$;
