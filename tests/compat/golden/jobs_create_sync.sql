LOCK TABLE "public"."jobs" IN SHARE ROW EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_policies('"public"."jobs"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."jobs"'::pg_catalog.regclass, '"public"."tasks"'::pg_catalog.regclass);

INSERT INTO compat.mapping (name, document, fingerprint, phase)
VALUES ('jobs', '{"accept": ["origin"], "fills": [{"target": "title", "value": "upper(note)"}], "legacy": {"columns": [{"default": "nextval(''public.jobs_id_seq''::regclass)", "name": "id", "nullable": false, "type": "integer"}, {"comment": "in euros", "default": "0.00", "name": "cost", "nullable": false, "type": "numeric(10,2)"}, {"default": "1", "name": "status", "nullable": false, "type": "integer"}, {"default": "false", "name": "done", "nullable": false, "type": "boolean"}, {"name": "note", "type": "text"}, {"default": "''shop''::text", "name": "origin", "type": "text"}], "comment": "What is to be done", "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "jobs_pkey"}, {"columns": ["cost"], "definition": "CHECK ((cost >= 0))", "kind": "check", "name": "jobs_cost_check"}], "indexes": [{"definition": "USING btree (note)", "name": "jobs_note_idx"}], "name": "jobs", "schema": "public", "sequences": [{"column": "id", "name": "jobs_id_seq", "schema": "public"}]}, "name": "jobs", "rules": [{"legacy": "id", "rule": "column", "target": "task_id"}, {"factor": 100, "legacy": "cost", "rule": "cast", "target": "cents"}, {"legacy": "status", "pairs": [[1, "waiting"], [2, "running"]], "rule": "value_map", "target": "state"}, {"legacy": "done", "rule": "flag", "target": "done_at"}, {"legacy": "note", "rule": "column", "target": "remark"}, {"legacy": "origin", "rule": "constant", "value": "shop"}], "target": {"columns": [{"name": "task_id", "nullable": false, "type": "integer"}, {"name": "cents", "nullable": false, "type": "integer"}, {"name": "state", "nullable": false, "type": "text"}, {"name": "done_at", "type": "timestamp with time zone"}, {"name": "remark", "type": "text"}, {"name": "title", "nullable": false, "type": "text"}], "constraints": [{"columns": ["task_id"], "definition": "PRIMARY KEY (task_id)", "kind": "primary_key", "name": "tasks_pkey"}], "name": "tasks", "schema": "public"}, "version": 1}', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71', 'expanded');

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'expand', jsonb_build_object('fingerprint', 'fa1eb3fd177a7d2c6ba21ecbf8d0525c2bb36f2cd080ef83721aa0eab3854a71'));

CREATE OR REPLACE FUNCTION "compat"."jobs__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."tasks" AS t;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
        SELECT n."id",
        (n."cost"::numeric * 100)::integer,
        CASE n."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (n."status")::text, NULL::text)::text END,
        CASE n."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        n."note",
        (upper(note))
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."jobs" AS s WHERE s."id" = inserted."id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "cents" = EXCLUDED."cents", "state" = EXCLUDED."state", "done_at" = EXCLUDED."done_at", "remark" = EXCLUDED."remark", "title" = EXCLUDED."title";
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
        <<made>>
        DECLARE
            value_1 integer := CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN (NEW."cost"::numeric * 100)::integer END;
            value_2 text := CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END END;
        BEGIN
            UPDATE "public"."tasks" AS t SET
                "task_id" = NEW."id",
        "cents" = CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN made.value_1 ELSE t."cents" END,
        "state" = CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN made.value_2 ELSE t."state" END,
        "done_at" = CASE WHEN NEW."done" IS DISTINCT FROM OLD."done" THEN CASE NEW."done" WHEN true THEN COALESCE(t."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END ELSE t."done_at" END,
        "remark" = NEW."note"
            WHERE t."task_id" = OLD."id";
        END;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
    VALUES (NEW."id",
        (NEW."cost"::numeric * 100)::integer,
        CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END,
        CASE NEW."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        NEW."note",
        (SELECT upper(note) FROM (SELECT NEW.*) AS this_row))
    ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "cents" = EXCLUDED."cents", "state" = EXCLUDED."state", "done_at" = EXCLUDED."done_at", "remark" = EXCLUDED."remark", "title" = EXCLUDED."title";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__sync"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

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

