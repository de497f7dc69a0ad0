-- Views and generated functions call ours as whoever uses them, also on a server whose default
-- privileges let nobody call new functions. None of these has more rights than its caller, and without
-- a right to the schema nobody can name them.
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT p.oid FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'compat'::regnamespace AND NOT p.prosecdef
          AND p.prorettype <> 'pg_catalog.trigger'::regtype AND pg_catalog.pg_has_role(p.proowner, 'USAGE')
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', routine);
    END LOOP;
END $$;
