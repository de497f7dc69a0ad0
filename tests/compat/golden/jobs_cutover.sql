SELECT CASE WHEN EXISTS (SELECT FROM "public"."jobs") THEN compat.require_phase('jobs', 'copied') ELSE compat.require_phase('jobs', 'expanded', 'copying', 'copied') END;

SELECT compat.require_policies('"public"."jobs"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."jobs"'::pg_catalog.regclass, '"public"."tasks"'::pg_catalog.regclass);

SELECT compat.give_view('"public"."jobs__compat"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.own('"compat"."jobs__sync"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.define_references('"compat"."jobs__referenced"', 'jobs', '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.own('"compat"."jobs__insert"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.own('"compat"."jobs__update"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.own('"compat"."jobs__delete"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.own('"compat"."jobs__reverse"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.lock_dependents('"public"."jobs"'::pg_catalog.regclass);

SELECT compat.lock_referencing('"public"."jobs"'::pg_catalog.regclass, 'SHARE ROW EXCLUSIVE');

LOCK TABLE "public"."jobs" IN ACCESS EXCLUSIVE MODE;

SELECT compat.hurry();

LOCK TABLE "public"."jobs__compat" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_settled_beneath('jobs');

SELECT compat.require_beneath('jobs', ARRAY[]::text[]), compat.require_above('jobs', ARRAY[]::text[]);

SELECT compat.put_beneath('jobs');

DROP TRIGGER "00_compat_sync" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_insert" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."jobs";

DROP TRIGGER "00_compat_early_writes" ON "public"."tasks";

DROP TRIGGER "00_compat_early_truncate" ON "public"."tasks";

SELECT compat.note_dependents('jobs', '"public"."jobs"'::pg_catalog.regclass);

ALTER TABLE "public"."jobs" RENAME TO "jobs__retired";

ALTER VIEW "public"."jobs__compat" RENAME TO "jobs";

SELECT compat.follow_name('jobs');

UPDATE compat.mapping SET looks = compat.looks_of('"public"."jobs__retired"'::pg_catalog.regclass) WHERE name = 'jobs';

SELECT compat.wear('"public"."jobs"'::pg_catalog.regclass, compat.looks_of('"public"."jobs__retired"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."jobs__retired"'::pg_catalog.regclass);

ALTER SEQUENCE "public"."jobs_id_seq" OWNED BY "public"."jobs"."id";

ALTER TABLE "public"."tasks" ALTER COLUMN "task_id" SET DEFAULT nextval('"public"."jobs_id_seq"'::regclass);

CREATE TRIGGER "00_compat_reverse" AFTER UPDATE OR DELETE
ON "public"."tasks" FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__reverse"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."tasks"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."jobs__retired"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."tasks" FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__reverse"();
    ELSE
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."tasks" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."jobs__reverse"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_reverse_truncate" AFTER TRUNCATE
ON "public"."tasks" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."jobs__reverse"();

SELECT compat.guard_retired('"public"."jobs__retired"'::pg_catalog.regclass, '"compat"."jobs__reverse"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass, '"public"."tasks"'::pg_catalog.regclass);

SELECT compat.move_triggers('"public"."jobs__retired"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.add_foreign_key_twins('jobs', '"public"."jobs__retired"'::pg_catalog.regclass, ARRAY['id', 'note']::text[], '"public"."tasks"'::pg_catalog.regclass, ARRAY['task_id', 'remark']::text[]);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'cutover', jsonb_build_object('fingerprint', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71'));

