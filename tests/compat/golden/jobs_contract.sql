SELECT compat.require_phase('jobs', 'cutover');

SELECT compat.require_above('jobs', ARRAY[]::text[]);

LOCK TABLE "public"."jobs" IN ACCESS EXCLUSIVE MODE;

UPDATE compat.mapping SET looks = compat.looks_of('"public"."jobs"'::pg_catalog.regclass) || compat.foreign_keys_of('"public"."jobs__retired"'::pg_catalog.regclass) WHERE name = 'jobs';

SELECT compat.finish_foreign_key_twins('jobs');

ALTER SEQUENCE "public"."jobs_id_seq" OWNED BY "public"."tasks"."task_id";

DROP TRIGGER "00_compat_reverse" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_insert" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_truncate" ON "public"."tasks";

DROP VIEW "public"."jobs";

DROP FUNCTION IF EXISTS "compat"."jobs__insert"();

DROP FUNCTION IF EXISTS "compat"."jobs__update"();

DROP FUNCTION IF EXISTS "compat"."jobs__delete"();

DROP FUNCTION IF EXISTS "compat"."jobs__referenced"(anyelement);

DROP FUNCTION IF EXISTS "compat"."jobs__reverse"();

DROP FUNCTION IF EXISTS "compat"."jobs__sync"();

DROP TABLE "public"."jobs__retired";

UPDATE compat.mapping SET phase = 'contracted', changed_at = clock_timestamp() WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'contract', jsonb_build_object('fingerprint', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71'));

