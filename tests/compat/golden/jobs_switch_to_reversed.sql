SELECT compat.require_phase('jobs', 'cutover');

LOCK TABLE "public"."tasks" IN SHARE ROW EXCLUSIVE MODE;

LOCK TABLE "public"."jobs__retired" IN ACCESS EXCLUSIVE MODE;

ALTER TABLE "public"."jobs__retired"
    ADD COLUMN "cents" integer,
    ADD COLUMN "state" text,
    ADD COLUMN "done_at" timestamp with time zone,
    ADD COLUMN "title" text,
    ADD COLUMN "compat_via_view" boolean;

SELECT compat.defer_bridge_indexes('jobs', 'jobs__v2_', '"public"."tasks"'::pg_catalog.regclass, '"public"."jobs__retired"'::pg_catalog.regclass,
    ARRAY['task_id', 'cents', 'state', 'done_at', 'remark', 'title']::text[], ARRAY['id', 'cents', 'state', 'done_at', 'note', 'title']::text[], ARRAY['cents', 'state', 'done_at', 'title']::text[]);

CREATE OR REPLACE FUNCTION "compat"."jobs__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."jobs__retired" AS r;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."jobs__retired" AS r ("id", "cost", "status", "done", "note", "origin", "cents", "state", "done_at", "title", "compat_via_view") OVERRIDING SYSTEM VALUE
        SELECT n."task_id",
        (n."cents"::numeric * 0.01)::numeric(10,2),
        CASE n."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (n."state")::text, NULL::integer)::integer END,
        (n."done_at" IS NOT NULL),
        n."remark",
        'shop'::text,
        n."cents",
        n."state",
        n."done_at",
        n."title",
        false
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."tasks" AS s WHERE s."task_id" = inserted."task_id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note", "cents" = EXCLUDED."cents", "state" = EXCLUDED."state", "done_at" = EXCLUDED."done_at", "title" = EXCLUDED."title", "compat_via_view" = EXCLUDED."compat_via_view";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."task_id", s."cents", s."state", s."done_at", s."remark", s."title"
        INTO NEW."task_id", NEW."cents", NEW."state", NEW."done_at", NEW."remark", NEW."title"
        FROM "public"."tasks" AS s WHERE s."task_id" = NEW."task_id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."jobs__retired" AS r WHERE r."id" = OLD."task_id" AND pg_catalog.age(r.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."jobs__retired" AS r WHERE r."id" = OLD."task_id"
            AND (pg_catalog.age(r.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."tasks" AS s WHERE s."task_id" = OLD."task_id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        <<made>>
        DECLARE
            changed_1 boolean := CASE WHEN NEW."cents" IS DISTINCT FROM OLD."cents" THEN (ROW((NEW."cents"::numeric * 0.01)::numeric(10,2))::record OPERATOR(pg_catalog.*<>) ROW((OLD."cents"::numeric * 0.01)::numeric(10,2))::record) ELSE false END;
            value_1 numeric(10,2) := CASE WHEN changed_1 THEN (NEW."cents"::numeric * 0.01)::numeric(10,2) END;
            changed_2 boolean := CASE WHEN NEW."state" IS DISTINCT FROM OLD."state" THEN CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM CASE OLD."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (OLD."state")::text, NULL::integer)::integer END ELSE false END;
            value_2 integer := CASE WHEN changed_2 THEN CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END END;
            changed_3 boolean := CASE WHEN NEW."done_at" IS DISTINCT FROM OLD."done_at" THEN (NEW."done_at" IS NOT NULL) IS DISTINCT FROM (OLD."done_at" IS NOT NULL) ELSE false END;
            value_3 boolean := CASE WHEN changed_3 THEN (NEW."done_at" IS NOT NULL) END;
        BEGIN
            UPDATE "public"."jobs__retired" AS r SET
                "id" = NEW."task_id",
    "cost" = CASE WHEN made.changed_1 THEN made.value_1 ELSE r."cost" END,
    "status" = CASE WHEN made.changed_2 THEN made.value_2 ELSE r."status" END,
    "done" = CASE WHEN made.changed_3 THEN made.value_3 ELSE r."done" END,
    "note" = NEW."remark",
    "cents" = NEW."cents",
    "state" = NEW."state",
    "done_at" = NEW."done_at",
    "title" = NEW."title",
    "compat_via_view" = false
            WHERE r."id" = OLD."task_id";
        END;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."jobs__retired" AS r ("id", "cost", "status", "done", "note", "origin", "cents", "state", "done_at", "title", "compat_via_view") OVERRIDING SYSTEM VALUE
    VALUES (NEW."task_id",
        (NEW."cents"::numeric * 0.01)::numeric(10,2),
        CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END,
        (NEW."done_at" IS NOT NULL),
        NEW."remark",
        'shop'::text,
        NEW."cents",
        NEW."state",
        NEW."done_at",
        NEW."title",
        false)
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note", "cents" = EXCLUDED."cents", "state" = EXCLUDED."state", "done_at" = EXCLUDED."done_at", "title" = EXCLUDED."title", "compat_via_view" = EXCLUDED."compat_via_view";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__reverse"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

DELETE FROM compat.copy_progress WHERE mapping = 'jobs';

UPDATE compat.mapping SET switching = 'reversed' WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'switch to reversed', jsonb_build_object('fingerprint', '9b8f9ac8fec4345fd403a8d76168e896a1761c7a3532fcbe773e914fce906853'));

SELECT compat.build_deferred_indexes('jobs');

SELECT compat.require_phase('jobs', 'cutover');

SELECT compat.lock_dependents('"public"."tasks"'::pg_catalog.regclass);

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

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'rollback', jsonb_build_object('fingerprint', 'c593aa1a5168e99e836643c550930155bac80a38ab935c34d74cf22957f61375'));

DROP VIEW "public"."jobs__compat";

DROP FUNCTION IF EXISTS "compat"."jobs__insert"();

DROP FUNCTION IF EXISTS "compat"."jobs__update"();

DROP FUNCTION IF EXISTS "compat"."jobs__delete"();

DROP FUNCTION IF EXISTS "compat"."jobs__referenced"(anyelement);

DROP FUNCTION IF EXISTS "compat"."jobs__reverse"();

DROP TRIGGER "00_compat_sync" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_insert" ON "public"."jobs";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."jobs";

DROP TRIGGER "00_compat_early_writes" ON "public"."tasks";

DROP TRIGGER "00_compat_early_truncate" ON "public"."tasks";

DROP FUNCTION IF EXISTS "compat"."jobs__sync"();

CREATE VIEW "compat"."jobs__bridge" AS
SELECT
    t."id" AS "task_id",
    t."cents" AS "cents",
    t."state" AS "state",
    t."done_at" AS "done_at",
    t."note" AS "remark",
    t."title" AS "title",
    t."compat_via_view" AS "compat_via_view"
FROM "public"."jobs" AS t;

ALTER VIEW "compat"."jobs__bridge" ALTER COLUMN "compat_via_view" SET DEFAULT true;

SELECT compat.own_view('"compat"."jobs__bridge"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__bridge_insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."compat_via_view" THEN
        NEW."cost" := (NEW."cents"::numeric * 0.01)::numeric(10,2);
        NEW."status" := CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END;
        NEW."done" := (NEW."done_at" IS NOT NULL);
        NEW."origin" := 'shop'::text;
    ELSE
        IF pg_catalog.num_nonnulls(NEW."cents") = 0 THEN
            NEW."cents" := (NEW."cost"::numeric * 100)::integer;
        ELSIF NOT (CASE WHEN NOT ((ROW((NEW."cents"::numeric * 0.01)::numeric(10,2))::record OPERATOR(pg_catalog.*<>) ROW(NEW."cost")::record)) THEN true ELSE NOT ((NEW."cost"::numeric * 100)::integer IS DISTINCT FROM NEW."cents") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'cost', NEW."cost"::text, 'cents', NEW."cents"::text);
        END IF;
        IF pg_catalog.num_nonnulls(NEW."state") = 0 THEN
            NEW."state" := CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END;
        ELSIF NOT (CASE WHEN NOT (CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM NEW."status") THEN true ELSE NOT (CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END IS DISTINCT FROM NEW."state") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'status', NEW."status"::text, 'state', NEW."state"::text);
        END IF;
        IF pg_catalog.num_nonnulls(NEW."done_at") = 0 THEN
            NEW."done_at" := CASE NEW."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END;
        ELSIF NOT (CASE WHEN NOT ((NEW."done_at" IS NOT NULL) IS DISTINCT FROM NEW."done") THEN true ELSE NOT (CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END IS DISTINCT FROM NEW."done_at") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'done', NEW."done"::text, 'done_at', NEW."done_at"::text);
        END IF;
        IF pg_catalog.num_nonnulls(NEW."title") = 0 THEN
            NEW."title" := (SELECT upper(note) FROM (SELECT NEW.*) AS this_row);
        END IF;
    END IF;
    NEW."compat_via_view" := false;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__bridge_insert"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__bridge_insert"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__bridge_nulls"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.num_nulls(NEW."cents", NEW."state", NEW."title") > 0 THEN
        PERFORM compat.refuse_null('public', 'tasks', CASE WHEN NEW."cents" IS NULL THEN 'cents' WHEN NEW."state" IS NULL THEN 'state' WHEN NEW."title" IS NULL THEN 'title' END);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__bridge_nulls"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__bridge_nulls"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__bridge_update_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN
        IF NOT (NEW."cents" IS DISTINCT FROM OLD."cents") THEN
            NEW."cents" := (NEW."cost"::numeric * 100)::integer;
        ELSIF NOT (CASE WHEN NOT ((ROW((NEW."cents"::numeric * 0.01)::numeric(10,2))::record OPERATOR(pg_catalog.*<>) ROW(NEW."cost")::record)) THEN true ELSE NOT ((NEW."cost"::numeric * 100)::integer IS DISTINCT FROM NEW."cents") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'cost', NEW."cost"::text, 'cents', NEW."cents"::text);
        END IF;
    ELSIF NEW."cents" IS DISTINCT FROM OLD."cents" THEN
        NEW."cost" := (NEW."cents"::numeric * 0.01)::numeric(10,2);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__bridge_update_1"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__bridge_update_1"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__bridge_update_2"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."status" IS DISTINCT FROM OLD."status" THEN
        IF NOT (NEW."state" IS DISTINCT FROM OLD."state") THEN
            NEW."state" := CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END;
        ELSIF NOT (CASE WHEN NOT (CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM NEW."status") THEN true ELSE NOT (CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END IS DISTINCT FROM NEW."state") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'status', NEW."status"::text, 'state', NEW."state"::text);
        END IF;
    ELSIF NEW."state" IS DISTINCT FROM OLD."state" THEN
        NEW."status" := CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__bridge_update_2"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__bridge_update_2"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__bridge_update_3"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."done" IS DISTINCT FROM OLD."done" THEN
        IF NOT (NEW."done_at" IS DISTINCT FROM OLD."done_at") THEN
            NEW."done_at" := CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END;
        ELSIF NOT (CASE WHEN NOT ((NEW."done_at" IS NOT NULL) IS DISTINCT FROM NEW."done") THEN true ELSE NOT (CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END IS DISTINCT FROM NEW."done_at") END) THEN
            PERFORM compat.contradict('public', 'jobs', 'done', NEW."done"::text, 'done_at', NEW."done_at"::text);
        END IF;
    ELSIF NEW."done_at" IS DISTINCT FROM OLD."done_at" THEN
        NEW."done" := (NEW."done_at" IS NOT NULL);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__bridge_update_3"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__bridge_update_3"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_bridge_insert" BEFORE INSERT
ON "public"."jobs" FOR EACH ROW
EXECUTE FUNCTION "compat"."jobs__bridge_insert"();

CREATE TRIGGER "00_compat_bridge_update_1" BEFORE UPDATE OF "cost", "cents"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (pg_catalog.record_image_ne(ROW(NEW."cost"), ROW(OLD."cost"))
    OR NEW."cents" IS DISTINCT FROM OLD."cents"))
EXECUTE FUNCTION "compat"."jobs__bridge_update_1"();

CREATE TRIGGER "00_compat_bridge_update_2" BEFORE UPDATE OF "status", "state"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (NEW."status" IS DISTINCT FROM OLD."status"
    OR NEW."state" IS DISTINCT FROM OLD."state"))
EXECUTE FUNCTION "compat"."jobs__bridge_update_2"();

CREATE TRIGGER "00_compat_bridge_update_3" BEFORE UPDATE OF "done", "done_at"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (NEW."done" IS DISTINCT FROM OLD."done"
    OR NEW."done_at" IS DISTINCT FROM OLD."done_at"))
EXECUTE FUNCTION "compat"."jobs__bridge_update_3"();

CREATE TRIGGER "~compat_bridge_without_nulls" BEFORE INSERT OR UPDATE
ON "public"."jobs" FOR EACH ROW
WHEN (NEW."compat_via_view" IS NOT NULL AND (NEW."cents" IS NULL
    OR NEW."state" IS NULL
    OR NEW."title" IS NULL))
EXECUTE FUNCTION "compat"."jobs__bridge_nulls"();

CREATE VIEW "public"."tasks__compat" AS
SELECT
    b."task_id",
    b."cents",
    b."state",
    b."done_at",
    b."remark",
    b."title"
FROM "compat"."jobs__bridge" AS b;

ALTER VIEW "public"."tasks__compat" ALTER COLUMN "task_id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

SELECT compat.own_view('"public"."tasks__compat"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.note_dependents('jobs', '"public"."tasks"'::pg_catalog.regclass);

TRUNCATE "public"."tasks";

ALTER TABLE "public"."tasks" RENAME TO "tasks__aside";

ALTER VIEW "public"."tasks__compat" RENAME TO "tasks";

SELECT compat.wear('"public"."tasks"'::pg_catalog.regclass, compat.looks_of('"public"."tasks__aside"'::pg_catalog.regclass) || jsonb_build_object('owner', (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = '"public"."jobs"'::pg_catalog.regclass))), compat.withdraw('"public"."tasks__aside"'::pg_catalog.regclass);

SELECT compat.follow_name('jobs');

UPDATE compat.mapping SET document = '{"accept": ["origin"], "fills": [{"target": "title", "value": "upper(note)"}], "form": "reversed", "legacy": {"columns": [{"default": "nextval(''public.jobs_id_seq''::regclass)", "name": "id", "nullable": false, "type": "integer"}, {"comment": "in euros", "default": "0.00", "name": "cost", "nullable": false, "type": "numeric(10,2)"}, {"default": "1", "name": "status", "nullable": false, "type": "integer"}, {"default": "false", "name": "done", "nullable": false, "type": "boolean"}, {"name": "note", "type": "text"}, {"default": "''shop''::text", "name": "origin", "type": "text"}], "comment": "What is to be done", "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "jobs_pkey"}, {"columns": ["cost"], "definition": "CHECK ((cost >= 0))", "kind": "check", "name": "jobs_cost_check"}], "indexes": [{"definition": "USING btree (note)", "name": "jobs_note_idx"}], "name": "jobs", "schema": "public", "sequences": [{"column": "id", "name": "jobs_id_seq", "schema": "public"}]}, "name": "jobs", "rules": [{"legacy": "id", "rule": "column", "target": "task_id"}, {"factor": 100, "legacy": "cost", "rule": "cast", "target": "cents"}, {"legacy": "status", "pairs": [[1, "waiting"], [2, "running"]], "rule": "value_map", "target": "state"}, {"legacy": "done", "rule": "flag", "target": "done_at"}, {"legacy": "note", "rule": "column", "target": "remark"}, {"legacy": "origin", "rule": "constant", "value": "shop"}], "target": {"columns": [{"name": "task_id", "nullable": false, "type": "integer"}, {"name": "cents", "nullable": false, "type": "integer"}, {"name": "state", "nullable": false, "type": "text"}, {"name": "done_at", "type": "timestamp with time zone"}, {"name": "remark", "type": "text"}, {"name": "title", "nullable": false, "type": "text"}], "constraints": [{"columns": ["task_id"], "definition": "PRIMARY KEY (task_id)", "kind": "primary_key", "name": "tasks_pkey"}], "name": "tasks", "schema": "public"}, "version": 1}', fingerprint = '9b8f9ac8fec4345fd403a8d76168e896a1761c7a3532fcbe773e914fce906853', switching = NULL, changed_at = clock_timestamp() WHERE name = 'jobs';

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'switch to reversed', jsonb_build_object('fingerprint', '9b8f9ac8fec4345fd403a8d76168e896a1761c7a3532fcbe773e914fce906853'));

