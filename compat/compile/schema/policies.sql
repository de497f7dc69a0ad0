-- The policies of a table as one document, NULL where row-level security is off.
CREATE OR REPLACE FUNCTION compat.policies_of(relation regclass)
RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(jsonb_agg(jsonb_build_array(
           p.polname,
           CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                         WHEN 'd' THEN 'delete' ELSE 'all' END,
           p.polpermissive,
           ARRAY(SELECT r.rolname FROM pg_roles r WHERE r.oid = ANY (p.polroles)
                 ORDER BY r.rolname::text COLLATE "C"),
           pg_get_expr(p.polqual, p.polrelid),
           pg_get_expr(p.polwithcheck, p.polrelid)
       ) ORDER BY p.polname::text COLLATE "C") FILTER (WHERE p.oid IS NOT NULL), '[]')
FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
WHERE c.oid = relation AND c.relrowsecurity
GROUP BY c.oid
$$;

---
-- The view applies the policies that the mapping knows. FORCE would apply them to the owner too, as whom
-- the sync reads and writes: it would pass over rows.
CREATE OR REPLACE FUNCTION compat.require_policies(relation regclass, known jsonb)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF compat.policies_of(relation) IS DISTINCT FROM known THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s has another row-level security than the mapping knows', relation),
            HINT = 'Put it back as it was; or take the migration back, draft the mapping again and begin anew.';
    ELSIF EXISTS (SELECT FROM pg_class WHERE oid = relation AND relrowsecurity AND relforcerowsecurity) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s forces row-level security on its owner, as whom the sync works', relation),
            HINT = format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, and let applications connect as another role.',
                          relation);
    END IF;
END $$;

---
-- True when no policy of a table, which has one of two names, applies to the caller.
CREATE OR REPLACE FUNCTION compat.is_exempt(schema name, first name, second name)
RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT coalesce(NOT bool_and(row_security_active(c.oid)), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = schema AND c.relname IN (first, second) AND c.relkind IN ('r', 'p')
$$;
