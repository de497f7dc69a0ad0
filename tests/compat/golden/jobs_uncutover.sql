SELECT compat.require_phase('jobs', 'cutover');

SELECT compat.require_beneath('jobs', ARRAY[]::text[]), compat.require_above('jobs', ARRAY[]::text[]);

SELECT compat.require_topmost('jobs');

SELECT compat.lock_dependents('"public"."jobs"'::pg_catalog.regclass);

SELECT compat.lock_referencing('"public"."jobs__retired"'::pg_catalog.regclass, 'ACCESS EXCLUSIVE');

LOCK TABLE "public"."jobs" IN ACCESS EXCLUSIVE MODE;

SELECT compat.hurry();

LOCK TABLE "public"."jobs__retired" IN ACCESS EXCLUSIVE MODE;

SELECT compat.drop_foreign_key_twins('jobs');

DROP TRIGGER "00_compat_reverse" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_insert" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_truncate" ON "public"."tasks";

SELECT compat.unguard_retired('"public"."jobs__retired"'::pg_catalog.regclass);

SELECT compat.return_triggers('"public"."jobs__retired"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.note_dependents('jobs', '"public"."jobs"'::pg_catalog.regclass);

ALTER VIEW "public"."jobs" RENAME TO "jobs__compat";

ALTER TABLE "public"."jobs__retired" RENAME TO "jobs";

SELECT compat.follow_name('jobs');

SELECT compat.wear('"public"."jobs"'::pg_catalog.regclass, compat.looks_of('"public"."jobs__compat"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."jobs__compat"'::pg_catalog.regclass);

ALTER SEQUENCE "public"."jobs_id_seq" OWNED BY "public"."jobs"."id";

ALTER TABLE "public"."tasks" ALTER COLUMN "task_id" DROP DEFAULT;

SELECT compat.take_from_beneath('jobs');

CREATE TRIGGER "00_compat_sync" AFTER UPDATE OR DELETE
ON "public"."jobs" FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__sync"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."jobs"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."tasks"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."jobs" FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__sync"();
    ELSE
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."jobs" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."jobs__sync"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_sync_truncate" AFTER TRUNCATE
ON "public"."jobs" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."jobs__sync"();

CREATE TRIGGER "00_compat_early_writes" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."tasks" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."jobs"');

CREATE TRIGGER "00_compat_early_truncate" AFTER TRUNCATE
ON "public"."tasks" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."jobs"');

UPDATE compat.mapping SET phase = 'copied', changed_at = clock_timestamp() WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'rollback', jsonb_build_object('fingerprint', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71'));

