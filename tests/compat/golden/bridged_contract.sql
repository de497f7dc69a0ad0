SELECT compat.require_phase('bridged jobs', 'cutover');

SELECT compat.require_above('bridged jobs', ARRAY[]::text[]);

LOCK TABLE "public"."jobs" IN ACCESS EXCLUSIVE MODE;

UPDATE compat.mapping SET looks = compat.looks_of('"public"."jobs"'::pg_catalog.regclass) || compat.foreign_keys_of('"public"."jobs__retired"'::pg_catalog.regclass) WHERE name = 'bridged jobs';

SELECT compat.finish_foreign_key_twins('bridged jobs');

ALTER SEQUENCE "public"."jobs_id_seq" OWNED BY "public"."tasks"."task_id";

DROP TRIGGER "00_compat_reverse" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_insert" ON "public"."tasks";

DROP TRIGGER "00_compat_reverse_truncate" ON "public"."tasks";

DROP VIEW "public"."jobs";

DROP FUNCTION IF EXISTS "compat"."bridged jobs__reverse"();

DROP FUNCTION IF EXISTS "compat"."bridged jobs__sync"();

DROP VIEW "compat"."bridged jobs__bridge";

DROP TRIGGER "00_compat_bridge_insert" ON "public"."tasks";

DROP TRIGGER "00_compat_bridge_nulls" ON "public"."tasks";

DROP TRIGGER "00_compat_bridge_update_1" ON "public"."tasks";

DROP TRIGGER "00_compat_bridge_update_2" ON "public"."tasks";

DROP TRIGGER "00_compat_bridge_update_3" ON "public"."tasks";

DROP FUNCTION IF EXISTS "compat"."bridged jobs__bridge_insert"();

DROP FUNCTION IF EXISTS "compat"."bridged jobs__bridge_nulls"();

DROP FUNCTION IF EXISTS "compat"."bridged jobs__bridge_update_1"();

DROP FUNCTION IF EXISTS "compat"."bridged jobs__bridge_update_2"();

DROP FUNCTION IF EXISTS "compat"."bridged jobs__bridge_update_3"();

ALTER TABLE "public"."tasks"
    DROP COLUMN "cost",
    DROP COLUMN "status",
    DROP COLUMN "done",
    DROP COLUMN "origin",
    DROP COLUMN "compat_via_view";

DROP TABLE "public"."jobs__retired";

UPDATE compat.mapping SET phase = 'contracted', changed_at = clock_timestamp() WHERE name = 'bridged jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('bridged jobs', 'contract', jsonb_build_object('fingerprint', '4b6e1f0f4fc78ce91d6c49174e5cbdedcfc19643fa3acb3dcbc85bc0c8cea644'));

