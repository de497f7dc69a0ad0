-- Notes, before a statement that writes through a view, how old the oldest transaction is that was under
-- way when the statement took its snapshot: the row versions that are older are those that it reads
-- (compat.compile.horizon). STABLE, so that the snapshot is that of the statement and not a later one. An
-- outer statement of the same transaction may have noted an older one, which holds for this one too.
-- It runs as the caller, without a path of its own, which would be dear for a single row: all is qualified.
CREATE OR REPLACE FUNCTION compat.note_horizon()
RETURNS trigger LANGUAGE plpgsql STABLE AS $$
DECLARE
    noted text := pg_catalog.current_setting('compat.horizon', true);
BEGIN
    noted := pg_catalog.set_config('compat.horizon', GREATEST(
        CASE WHEN noted OPERATOR(pg_catalog.<>) '' THEN noted::pg_catalog.int4 END,
        pg_catalog.age(pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid)
    )::pg_catalog.text, true);
    RETURN NULL;
END $$;
