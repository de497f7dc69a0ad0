SELECT compat.require_phase('jobs', 'expanded', 'copying', 'copied');

SELECT compat.require_no_children('jobs', '"public"."tasks"'::pg_catalog.regclass, ARRAY['task_id'], NULL);

DROP TRIGGER "00_compat_sync" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_insert" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."jobs";

DROP TRIGGER "00_compat_early_writes" ON "public"."tasks";

DROP TRIGGER "00_compat_early_truncate" ON "public"."tasks";

DROP FUNCTION IF EXISTS "compat"."jobs__sync"();

SELECT compat.build_deferred_indexes('jobs');

DELETE FROM compat.reject WHERE mapping = 'jobs';

DELETE FROM compat.mapping WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'unexpand', jsonb_build_object('fingerprint', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71'));

