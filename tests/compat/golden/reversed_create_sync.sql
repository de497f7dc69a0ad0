LOCK TABLE "public"."jobs" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_unused('"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_unmoved('"public"."jobs"'::pg_catalog.regclass, ARRAY['cost', 'status', 'done', 'origin'], 'the form reversed');

INSERT INTO compat.mapping (name, document, fingerprint, phase)
VALUES ('reversed jobs', '{"accept": ["origin"], "fills": [{"target": "title", "value": "upper(note)"}], "form": "reversed", "legacy": {"columns": [{"default": "nextval(''public.jobs_id_seq''::regclass)", "name": "id", "nullable": false, "type": "integer"}, {"comment": "in euros", "default": "0.00", "name": "cost", "nullable": false, "type": "numeric(10,2)"}, {"default": "1", "name": "status", "nullable": false, "type": "integer"}, {"default": "false", "name": "done", "nullable": false, "type": "boolean"}, {"name": "note", "type": "text"}, {"default": "''shop''::text", "name": "origin", "type": "text"}], "comment": "What is to be done", "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "jobs_pkey"}, {"columns": ["cost"], "definition": "CHECK ((cost >= 0))", "kind": "check", "name": "jobs_cost_check"}], "indexes": [{"definition": "USING btree (note)", "name": "jobs_note_idx"}], "name": "jobs", "schema": "public", "sequences": [{"column": "id", "name": "jobs_id_seq", "schema": "public"}]}, "name": "reversed jobs", "rules": [{"legacy": "id", "rule": "column", "target": "task_id"}, {"factor": 100, "legacy": "cost", "rule": "cast", "target": "cents"}, {"legacy": "status", "pairs": [[1, "waiting"], [2, "running"]], "rule": "value_map", "target": "state"}, {"legacy": "done", "rule": "flag", "target": "done_at"}, {"legacy": "note", "rule": "column", "target": "remark"}, {"legacy": "origin", "rule": "constant", "value": "shop"}], "target": {"columns": [{"name": "task_id", "nullable": false, "type": "integer"}, {"name": "cents", "nullable": false, "type": "integer"}, {"name": "state", "nullable": false, "type": "text"}, {"name": "done_at", "type": "timestamp with time zone"}, {"name": "remark", "type": "text"}, {"name": "title", "nullable": false, "type": "text"}], "constraints": [{"columns": ["task_id"], "definition": "PRIMARY KEY (task_id)", "kind": "primary_key", "name": "tasks_pkey"}], "name": "tasks", "schema": "public"}, "version": 1}', '3fd45c60fb07f1501e2dd829367c85714a24095bea936ed4a714974a0bb39de1', 'expanded');

INSERT INTO compat.event (mapping, step, detail) VALUES ('reversed jobs', 'expand', jsonb_build_object('fingerprint', '3fd45c60fb07f1501e2dd829367c85714a24095bea936ed4a714974a0bb39de1'));

ALTER TABLE "public"."jobs"
    ADD COLUMN "cents" integer,
    ADD COLUMN "state" text,
    ADD COLUMN "done_at" timestamp with time zone,
    ADD COLUMN "title" text,
    ADD COLUMN "compat_via_view" boolean;

SELECT compat.defer_bridge_indexes('reversed jobs', 'reversed jobs__v2_', '"public"."tasks"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass,
    ARRAY['task_id', 'cents', 'state', 'done_at', 'remark', 'title']::text[], ARRAY['id', 'cents', 'state', 'done_at', 'note', 'title']::text[], ARRAY['cents', 'state', 'done_at', 'title']::text[]);

CREATE VIEW "compat"."reversed jobs__bridge" AS
SELECT
    t."id" AS "task_id",
    t."cents" AS "cents",
    t."state" AS "state",
    t."done_at" AS "done_at",
    t."note" AS "remark",
    t."title" AS "title",
    t."compat_via_view" AS "compat_via_view"
FROM "public"."jobs" AS t;

ALTER VIEW "compat"."reversed jobs__bridge" ALTER COLUMN "compat_via_view" SET DEFAULT true;

SELECT compat.own_view('"compat"."reversed jobs__bridge"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."reversed jobs__bridge_insert"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."reversed jobs__bridge_insert"() FROM PUBLIC;

SELECT compat.own('"compat"."reversed jobs__bridge_insert"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."reversed jobs__bridge_nulls"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."reversed jobs__bridge_nulls"() FROM PUBLIC;

SELECT compat.own('"compat"."reversed jobs__bridge_nulls"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."reversed jobs__bridge_update_1"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."reversed jobs__bridge_update_1"() FROM PUBLIC;

SELECT compat.own('"compat"."reversed jobs__bridge_update_1"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."reversed jobs__bridge_update_2"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."reversed jobs__bridge_update_2"() FROM PUBLIC;

SELECT compat.own('"compat"."reversed jobs__bridge_update_2"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."reversed jobs__bridge_update_3"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."reversed jobs__bridge_update_3"() FROM PUBLIC;

SELECT compat.own('"compat"."reversed jobs__bridge_update_3"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_bridge_insert" BEFORE INSERT
ON "public"."jobs" FOR EACH ROW
EXECUTE FUNCTION "compat"."reversed jobs__bridge_insert"();

CREATE TRIGGER "00_compat_bridge_update_1" BEFORE UPDATE OF "cost", "cents"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (pg_catalog.record_image_ne(ROW(NEW."cost"), ROW(OLD."cost"))
    OR NEW."cents" IS DISTINCT FROM OLD."cents"))
EXECUTE FUNCTION "compat"."reversed jobs__bridge_update_1"();

CREATE TRIGGER "00_compat_bridge_update_2" BEFORE UPDATE OF "status", "state"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (NEW."status" IS DISTINCT FROM OLD."status"
    OR NEW."state" IS DISTINCT FROM OLD."state"))
EXECUTE FUNCTION "compat"."reversed jobs__bridge_update_2"();

CREATE TRIGGER "00_compat_bridge_update_3" BEFORE UPDATE OF "done", "done_at"
ON "public"."jobs" FOR EACH ROW
WHEN (OLD."compat_via_view" IS NOT NULL AND (NEW."done" IS DISTINCT FROM OLD."done"
    OR NEW."done_at" IS DISTINCT FROM OLD."done_at"))
EXECUTE FUNCTION "compat"."reversed jobs__bridge_update_3"();

CREATE TRIGGER "~compat_bridge_without_nulls" BEFORE INSERT OR UPDATE
ON "public"."jobs" FOR EACH ROW
WHEN (NEW."compat_via_view" IS NOT NULL AND (NEW."cents" IS NULL
    OR NEW."state" IS NULL
    OR NEW."title" IS NULL))
EXECUTE FUNCTION "compat"."reversed jobs__bridge_nulls"();

