LOCK TABLE "public"."jobs" IN SHARE ROW EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_policies('"public"."jobs"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."jobs"'::pg_catalog.regclass, '"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_unmoved('"public"."tasks"'::pg_catalog.regclass, ARRAY['cents', 'state', 'done_at'], 'the form bridged');

INSERT INTO compat.mapping (name, document, fingerprint, phase)
VALUES ('bridged jobs', '{"accept": ["origin"], "fills": [{"target": "title", "value": "upper(note)"}], "form": "bridged", "legacy": {"columns": [{"default": "nextval(''public.jobs_id_seq''::regclass)", "name": "id", "nullable": false, "type": "integer"}, {"comment": "in euros", "default": "0.00", "name": "cost", "nullable": false, "type": "numeric(10,2)"}, {"default": "1", "name": "status", "nullable": false, "type": "integer"}, {"default": "false", "name": "done", "nullable": false, "type": "boolean"}, {"name": "note", "type": "text"}, {"default": "''shop''::text", "name": "origin", "type": "text"}], "comment": "What is to be done", "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "jobs_pkey"}, {"columns": ["cost"], "definition": "CHECK ((cost >= 0))", "kind": "check", "name": "jobs_cost_check"}], "indexes": [{"definition": "USING btree (note)", "name": "jobs_note_idx"}], "name": "jobs", "schema": "public", "sequences": [{"column": "id", "name": "jobs_id_seq", "schema": "public"}]}, "name": "bridged jobs", "rules": [{"legacy": "id", "rule": "column", "target": "task_id"}, {"factor": 100, "legacy": "cost", "rule": "cast", "target": "cents"}, {"legacy": "status", "pairs": [[1, "waiting"], [2, "running"]], "rule": "value_map", "target": "state"}, {"legacy": "done", "rule": "flag", "target": "done_at"}, {"legacy": "note", "rule": "column", "target": "remark"}, {"legacy": "origin", "rule": "constant", "value": "shop"}], "target": {"columns": [{"name": "task_id", "nullable": false, "type": "integer"}, {"name": "cents", "nullable": false, "type": "integer"}, {"name": "state", "nullable": false, "type": "text"}, {"name": "done_at", "type": "timestamp with time zone"}, {"name": "remark", "type": "text"}, {"name": "title", "nullable": false, "type": "text"}], "constraints": [{"columns": ["task_id"], "definition": "PRIMARY KEY (task_id)", "kind": "primary_key", "name": "tasks_pkey"}], "name": "tasks", "schema": "public"}, "version": 1}', '4b6e1f0f4fc78ce91d6c49174e5cbdedcfc19643fa3acb3dcbc85bc0c8cea644', 'expanded');

INSERT INTO compat.event (mapping, step, detail) VALUES ('bridged jobs', 'expand', jsonb_build_object('fingerprint', '4b6e1f0f4fc78ce91d6c49174e5cbdedcfc19643fa3acb3dcbc85bc0c8cea644'));

ALTER TABLE "public"."tasks"
    ADD COLUMN "cost" numeric(10,2),
    ADD COLUMN "status" integer,
    ADD COLUMN "done" boolean,
    ADD COLUMN "origin" text,
    ADD COLUMN "compat_via_view" boolean;

SELECT compat.index_bridge('"public"."jobs"'::pg_catalog.regclass, '"public"."tasks"'::pg_catalog.regclass,
    ARRAY['id', 'cost', 'status', 'done', 'note', 'origin']::text[], ARRAY['task_id', 'cost', 'status', 'done', 'remark', 'origin']::text[], ARRAY['cost', 'status', 'done', 'origin']::text[]);

CREATE VIEW "compat"."bridged jobs__bridge" AS
SELECT
    t."task_id" AS "id",
    t."cost" AS "cost",
    t."status" AS "status",
    t."done" AS "done",
    t."remark" AS "note",
    t."origin" AS "origin",
    t."compat_via_view" AS "compat_via_view"
FROM "public"."tasks" AS t;

ALTER VIEW "compat"."bridged jobs__bridge" ALTER COLUMN "compat_via_view" SET DEFAULT true;

SELECT compat.own_view('"compat"."bridged jobs__bridge"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__bridge_insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."compat_via_view" THEN
        NEW."compat_via_view" := NULL;
        IF pg_catalog.num_nulls(NEW."task_id", NEW."cost", NEW."status", NEW."done") > 0 THEN
            PERFORM compat.refuse_null('public', 'jobs', CASE WHEN NEW."task_id" IS NULL THEN 'id' WHEN NEW."cost" IS NULL THEN 'cost' WHEN NEW."status" IS NULL THEN 'status' WHEN NEW."done" IS NULL THEN 'done' END);
        END IF;
        NEW."cents" := (NEW."cost"::numeric * 100)::integer;
        NEW."state" := CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END;
        NEW."done_at" := CASE NEW."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END;
        NEW."title" := (SELECT (upper(note)) FROM (SELECT NEW."task_id" AS "id", NEW."cost" AS "cost", NEW."status" AS "status", NEW."done" AS "done", NEW."remark" AS "note", NEW."origin" AS "origin") AS this_row);
    ELSE
        IF NEW."cost" IS NULL THEN
            NEW."cost" := (NEW."cents"::numeric * 0.01)::numeric(10,2);
        ELSIF NOT (CASE WHEN NOT ((ROW((NEW."cents"::numeric * 0.01)::numeric(10,2))::record OPERATOR(pg_catalog.*<>) ROW(NEW."cost")::record)) THEN true ELSE NOT ((NEW."cost"::numeric * 100)::integer IS DISTINCT FROM NEW."cents") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'cost', NEW."cost"::text, 'cents', NEW."cents"::text);
        END IF;
        IF NEW."status" IS NULL THEN
            NEW."status" := CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END;
        ELSIF NOT (CASE WHEN NOT (CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM NEW."status") THEN true ELSE NOT (CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END IS DISTINCT FROM NEW."state") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'status', NEW."status"::text, 'state', NEW."state"::text);
        END IF;
        IF NEW."done" IS NULL THEN
            NEW."done" := (NEW."done_at" IS NOT NULL);
        ELSIF NOT (CASE WHEN NOT ((NEW."done_at" IS NOT NULL) IS DISTINCT FROM NEW."done") THEN true ELSE NOT (CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END IS DISTINCT FROM NEW."done_at") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'done', NEW."done"::text, 'done_at', NEW."done_at"::text);
        END IF;
        IF NEW."origin" IS NULL THEN
            NEW."origin" := 'shop'::text;
        END IF;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__bridge_insert"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__bridge_insert"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__bridge_nulls"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.num_nulls(NEW."cost", NEW."status", NEW."done") > 0 THEN
        PERFORM compat.refuse_null('public', 'jobs', CASE WHEN NEW."cost" IS NULL THEN 'cost' WHEN NEW."status" IS NULL THEN 'status' WHEN NEW."done" IS NULL THEN 'done' END);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__bridge_nulls"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__bridge_nulls"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__bridge_update_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN
        IF NOT (NEW."cents" IS DISTINCT FROM OLD."cents") THEN
            NEW."cents" := (NEW."cost"::numeric * 100)::integer;
        ELSIF NOT (CASE WHEN NOT ((ROW((NEW."cents"::numeric * 0.01)::numeric(10,2))::record OPERATOR(pg_catalog.*<>) ROW(NEW."cost")::record)) THEN true ELSE NOT ((NEW."cost"::numeric * 100)::integer IS DISTINCT FROM NEW."cents") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'cost', NEW."cost"::text, 'cents', NEW."cents"::text);
        END IF;
    ELSIF NEW."cents" IS DISTINCT FROM OLD."cents" THEN
        NEW."cost" := (NEW."cents"::numeric * 0.01)::numeric(10,2);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__bridge_update_1"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__bridge_update_1"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__bridge_update_2"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."status" IS DISTINCT FROM OLD."status" THEN
        IF NOT (NEW."state" IS DISTINCT FROM OLD."state") THEN
            NEW."state" := CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END;
        ELSIF NOT (CASE WHEN NOT (CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM NEW."status") THEN true ELSE NOT (CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END IS DISTINCT FROM NEW."state") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'status', NEW."status"::text, 'state', NEW."state"::text);
        END IF;
    ELSIF NEW."state" IS DISTINCT FROM OLD."state" THEN
        NEW."status" := CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'running' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__bridge_update_2"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__bridge_update_2"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__bridge_update_3"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NEW."done" IS DISTINCT FROM OLD."done" THEN
        IF NOT (NEW."done_at" IS DISTINCT FROM OLD."done_at") THEN
            NEW."done_at" := CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END;
        ELSIF NOT (CASE WHEN NOT ((NEW."done_at" IS NOT NULL) IS DISTINCT FROM NEW."done") THEN true ELSE NOT (CASE NEW."done" WHEN true THEN COALESCE(NEW."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END IS DISTINCT FROM NEW."done_at") END) THEN
            PERFORM compat.contradict('public', 'tasks', 'done', NEW."done"::text, 'done_at', NEW."done_at"::text);
        END IF;
    ELSIF NEW."done_at" IS DISTINCT FROM OLD."done_at" THEN
        NEW."done" := (NEW."done_at" IS NOT NULL);
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__bridge_update_3"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__bridge_update_3"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_bridge_insert" BEFORE INSERT
ON "public"."tasks" FOR EACH ROW
EXECUTE FUNCTION "compat"."bridged jobs__bridge_insert"();

CREATE TRIGGER "00_compat_bridge_nulls" BEFORE UPDATE OF "cost", "status", "done"
ON "public"."tasks" FOR EACH ROW
WHEN (NEW."cost" IS NULL AND OLD."cost" IS NOT NULL
    OR NEW."status" IS NULL AND OLD."status" IS NOT NULL
    OR NEW."done" IS NULL AND OLD."done" IS NOT NULL)
EXECUTE FUNCTION "compat"."bridged jobs__bridge_nulls"();

CREATE TRIGGER "00_compat_bridge_update_1" BEFORE UPDATE OF "cost", "cents"
ON "public"."tasks" FOR EACH ROW
WHEN (pg_catalog.record_image_ne(ROW(NEW."cost"), ROW(OLD."cost"))
    OR NEW."cents" IS DISTINCT FROM OLD."cents")
EXECUTE FUNCTION "compat"."bridged jobs__bridge_update_1"();

CREATE TRIGGER "00_compat_bridge_update_2" BEFORE UPDATE OF "status", "state"
ON "public"."tasks" FOR EACH ROW
WHEN (NEW."status" IS DISTINCT FROM OLD."status"
    OR NEW."state" IS DISTINCT FROM OLD."state")
EXECUTE FUNCTION "compat"."bridged jobs__bridge_update_2"();

CREATE TRIGGER "00_compat_bridge_update_3" BEFORE UPDATE OF "done", "done_at"
ON "public"."tasks" FOR EACH ROW
WHEN (NEW."done" IS DISTINCT FROM OLD."done"
    OR NEW."done_at" IS DISTINCT FROM OLD."done_at")
EXECUTE FUNCTION "compat"."bridged jobs__bridge_update_3"();

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."tasks" AS t;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."tasks" AS t ("task_id", "cost", "status", "done", "remark", "origin", "compat_via_view")
        SELECT n."id",
        n."cost",
        n."status",
        n."done",
        n."note",
        n."origin",
        (true)
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."jobs" AS s WHERE s."id" = inserted."id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "remark" = EXCLUDED."remark", "origin" = EXCLUDED."origin", "compat_via_view" = EXCLUDED."compat_via_view";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."id", s."cost", s."status", s."done", s."note", s."origin"
        INTO NEW."id", NEW."cost", NEW."status", NEW."done", NEW."note", NEW."origin"
        FROM "public"."jobs" AS s WHERE s."id" = NEW."id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."tasks" AS t WHERE t."task_id" = OLD."id" AND pg_catalog.age(t.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."tasks" AS t WHERE t."task_id" = OLD."id"
            AND (pg_catalog.age(t.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."jobs" AS s WHERE s."id" = OLD."id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."tasks" AS t SET
            "task_id" = NEW."id",
        "cost" = NEW."cost",
        "status" = NEW."status",
        "done" = NEW."done",
        "remark" = NEW."note",
        "origin" = NEW."origin"
        WHERE t."task_id" = OLD."id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."tasks" AS t ("task_id", "cost", "status", "done", "remark", "origin", "compat_via_view")
    VALUES (NEW."id",
        NEW."cost",
        NEW."status",
        NEW."done",
        NEW."note",
        NEW."origin",
        (SELECT true FROM (SELECT NEW.*) AS this_row))
    ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "remark" = EXCLUDED."remark", "origin" = EXCLUDED."origin", "compat_via_view" = EXCLUDED."compat_via_view";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__sync"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync" AFTER UPDATE OR DELETE
ON "public"."jobs" FOR EACH ROW EXECUTE FUNCTION "compat"."bridged jobs__sync"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."jobs"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."tasks"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."jobs" FOR EACH ROW EXECUTE FUNCTION "compat"."bridged jobs__sync"();
    ELSE
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."jobs" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."bridged jobs__sync"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_sync_truncate" AFTER TRUNCATE
ON "public"."jobs" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."bridged jobs__sync"();

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

