SELECT compat.require_phase('jobs', 'copied');

LOCK TABLE "public"."jobs" IN SHARE ROW EXCLUSIVE MODE;

SELECT compat.lock_view('"public"."jobs__compat"', '"public"."tasks"'::pg_catalog.regclass);

SELECT compat.hurry();

SELECT compat.replace_view('public', 'jobs__compat', 'CREATE VIEW "public"."jobs__compat" AS
SELECT
    t."task_id" AS "id",
    (t."cents"::numeric * 0.01)::numeric(10,2) AS "cost",
    CASE t."state" WHEN ''waiting'' THEN 1::integer WHEN ''busy'' THEN 2::integer ELSE compat.refuse(''public.tasks.state: no legacy counterpart'', (t."state")::text, NULL::integer)::integer END AS "status",
    (t."done_at" IS NOT NULL) AS "done",
    t."remark" AS "note",
    ''shop''::text AS "origin"
FROM "public"."tasks" AS t', '"public"."jobs"'::pg_catalog.regclass);

DROP TRIGGER IF EXISTS "compat_horizon" ON "public"."jobs__compat";

DROP TRIGGER IF EXISTS "compat_insert" ON "public"."jobs__compat";

DROP TRIGGER IF EXISTS "compat_update" ON "public"."jobs__compat";

DROP TRIGGER IF EXISTS "compat_delete" ON "public"."jobs__compat";

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "id" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "cost" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "status" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "done" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "note" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "origin" DROP DEFAULT;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "cost" SET DEFAULT 0.00;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "status" SET DEFAULT 1;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "done" SET DEFAULT false;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "origin" SET DEFAULT 'shop'::text;

CREATE TRIGGER "compat_horizon" BEFORE UPDATE OR DELETE ON "public"."jobs__compat"
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."note_horizon"();

SELECT compat.define_references('"compat"."jobs__referenced"', 'jobs', '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    given CONSTANT record := NEW;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."cost", NEW."status", NEW."done") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'jobs', 'id', 'cost', 'status', 'done');
    END IF;
    DECLARE
        "cost" numeric(10,2) := NEW."cost";
    BEGIN
        IF NOT ((cost >= 0)) THEN
            PERFORM compat.refuse_check(NEW, 'public', 'jobs', 'jobs_cost_check');
        END IF;
    END;
    <<made>>
    DECLARE
        value_1 integer := (NEW."cost"::numeric * 100)::integer;
        value_2 text := CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END;
        value_3 timestamp with time zone := CASE NEW."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END;
    BEGIN
        INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
        VALUES (NEW."id",
        made.value_1,
        made.value_2,
        made.value_3,
        NEW."note",
        (SELECT upper(note) FROM (SELECT NEW.*) AS this_row))
    ON CONFLICT DO NOTHING
    RETURNING 'shop'::text
    INTO NEW."origin";
        IF NOT FOUND THEN
        NEW := given;
        BEGIN
        INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
        VALUES (NEW."id",
        made.value_1,
        made.value_2,
        made.value_3,
        NEW."note",
        (SELECT upper(note) FROM (SELECT NEW.*) AS this_row))
    RETURNING 'shop'::text
    INTO NEW."origin";
        EXCEPTION WHEN integrity_constraint_violation THEN
            DECLARE
                message text; detail text; schema_name text; table_name text;
                column_name text; constraint_name text;
            BEGIN
                GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                    schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                    column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "jobs"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"cents": "cost", "done_at": "done", "remark": "note", "state": "status", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "tasks"]}], "retired": "jobs__retired"}', SQLSTATE, message,
                    detail, schema_name, table_name, column_name, constraint_name);
                RAISE;
            END;
        END;
        END IF;
    END;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__insert"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."jobs__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__insert"();

CREATE OR REPLACE FUNCTION "compat"."jobs__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
    given CONSTANT record := NEW;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."cost", NEW."status", NEW."done") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'jobs', 'id', 'cost', 'status', 'done');
    END IF;
    DECLARE
        "cost" numeric(10,2) := NEW."cost";
    BEGIN
        IF NOT ((cost >= 0)) THEN
            PERFORM compat.refuse_check(NEW, 'public', 'jobs', 'jobs_cost_check');
        END IF;
    END;
    IF NEW."id" IS DISTINCT FROM OLD."id" THEN
    BEGIN
    UPDATE "public"."tasks" AS t SET
        "task_id" = NEW."id",
        "cents" = CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN (NEW."cost"::numeric * 100)::integer ELSE t."cents" END,
        "state" = CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END ELSE t."state" END,
        "done_at" = CASE WHEN NEW."done" IS DISTINCT FROM OLD."done" THEN CASE NEW."done" WHEN true THEN COALESCE(t."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END ELSE t."done_at" END,
        "remark" = NEW."note"
    WHERE t."task_id" = OLD."id"
      AND ROW(t."task_id", (t."cents"::numeric * 0.01)::numeric(10,2), CASE t."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (t."state")::text, NULL::integer)::integer END, (t."done_at" IS NOT NULL), t."remark", 'shop'::text)::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record
    RETURNING 'shop'::text
    INTO NEW."origin";
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "jobs"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"cents": "cost", "done_at": "done", "remark": "note", "state": "status", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "tasks"]}], "retired": "jobs__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        IF (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record)
    OR NEW."status" IS DISTINCT FROM OLD."status"
    OR NEW."done" IS DISTINCT FROM OLD."done" THEN
            <<made>>
            DECLARE
                value_1 integer := CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN (NEW."cost"::numeric * 100)::integer END;
                value_2 text := CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END END;
            BEGIN
                UPDATE "public"."tasks" AS t SET
                    "cents" = CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN made.value_1 ELSE t."cents" END,
        "state" = CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN made.value_2 ELSE t."state" END,
        "done_at" = CASE WHEN NEW."done" IS DISTINCT FROM OLD."done" THEN CASE NEW."done" WHEN true THEN COALESCE(t."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END ELSE t."done_at" END,
        "remark" = NEW."note"
                WHERE t."task_id" = OLD."id"
                  AND pg_catalog.age(t.xmin) > noted.horizon
    RETURNING 'shop'::text
    INTO NEW."origin";
            END;
        ELSE
            UPDATE "public"."tasks" AS t SET
                "remark" = NEW."note"
            WHERE t."task_id" = OLD."id"
              AND pg_catalog.age(t.xmin) > noted.horizon
    RETURNING 'shop'::text
    INTO NEW."origin";
        END IF;
        IF NOT FOUND THEN
            NEW := given;
            UPDATE "public"."tasks" AS t SET
                "cents" = CASE WHEN (ROW(NEW."cost")::record OPERATOR(pg_catalog.*<>) ROW(OLD."cost")::record) THEN (NEW."cost"::numeric * 100)::integer ELSE t."cents" END,
        "state" = CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END ELSE t."state" END,
        "done_at" = CASE WHEN NEW."done" IS DISTINCT FROM OLD."done" THEN CASE NEW."done" WHEN true THEN COALESCE(t."done_at", pg_catalog.now()::timestamp with time zone) WHEN false THEN NULL END ELSE t."done_at" END,
        "remark" = NEW."note"
            WHERE t."task_id" = OLD."id"
              AND ROW(t."task_id", (t."cents"::numeric * 0.01)::numeric(10,2), CASE t."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (t."state")::text, NULL::integer)::integer END, (t."done_at" IS NOT NULL), t."remark", 'shop'::text)::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record
    RETURNING 'shop'::text
    INTO NEW."origin";
        END IF;
    END IF;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM FROM "public"."tasks" AS t
    WHERE t."task_id" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "jobs" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'jobs';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__update"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__update"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."jobs__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__update"();

CREATE OR REPLACE FUNCTION "compat"."jobs__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF "compat"."jobs__referenced"(OLD) THEN
    BEGIN
    DELETE FROM "public"."tasks" AS t
    WHERE t."task_id" = OLD."id"
      AND ROW(t."task_id", (t."cents"::numeric * 0.01)::numeric(10,2), CASE t."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (t."state")::text, NULL::integer)::integer END, (t."done_at" IS NOT NULL), t."remark", 'shop'::text)::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "jobs"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"cents": "cost", "done_at": "done", "remark": "note", "state": "status", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "tasks"]}], "retired": "jobs__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        DELETE FROM "public"."tasks" AS t
        WHERE t."task_id" = OLD."id"
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            DELETE FROM "public"."tasks" AS t
            WHERE t."task_id" = OLD."id"
              AND ROW(t."task_id", (t."cents"::numeric * 0.01)::numeric(10,2), CASE t."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (t."state")::text, NULL::integer)::integer END, (t."done_at" IS NOT NULL), t."remark", 'shop'::text)::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN OLD;
    END IF;
    PERFORM FROM "public"."tasks" AS t
    WHERE t."task_id" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "jobs" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'jobs';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__delete"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."jobs__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."jobs__delete"();

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
        CASE n."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (n."status")::text, NULL::text)::text END,
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
            value_2 text := CASE WHEN NEW."status" IS DISTINCT FROM OLD."status" THEN CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END END;
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
        CASE NEW."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'busy'::text ELSE compat.refuse('public.jobs.status: no counterpart', (NEW."status")::text, NULL::text)::text END,
        CASE NEW."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        NEW."note",
        (SELECT upper(note) FROM (SELECT NEW.*) AS this_row))
    ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "cents" = EXCLUDED."cents", "state" = EXCLUDED."state", "done_at" = EXCLUDED."done_at", "remark" = EXCLUDED."remark", "title" = EXCLUDED."title";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__sync"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."jobs__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."jobs__retired" AS r;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."jobs__retired" AS r ("id", "cost", "status", "done", "note", "origin") OVERRIDING SYSTEM VALUE
        SELECT n."task_id",
        (n."cents"::numeric * 0.01)::numeric(10,2),
        CASE n."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (n."state")::text, NULL::integer)::integer END,
        (n."done_at" IS NOT NULL),
        n."remark",
        'shop'::text
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."tasks" AS s WHERE s."task_id" = inserted."task_id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."task_id", s."cents", s."state", s."done_at", s."remark"
        INTO NEW."task_id", NEW."cents", NEW."state", NEW."done_at", NEW."remark"
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
            changed_2 boolean := CASE WHEN NEW."state" IS DISTINCT FROM OLD."state" THEN CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END IS DISTINCT FROM CASE OLD."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (OLD."state")::text, NULL::integer)::integer END ELSE false END;
            value_2 integer := CASE WHEN changed_2 THEN CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END END;
            changed_3 boolean := CASE WHEN NEW."done_at" IS DISTINCT FROM OLD."done_at" THEN (NEW."done_at" IS NOT NULL) IS DISTINCT FROM (OLD."done_at" IS NOT NULL) ELSE false END;
            value_3 boolean := CASE WHEN changed_3 THEN (NEW."done_at" IS NOT NULL) END;
        BEGIN
            UPDATE "public"."jobs__retired" AS r SET
                "id" = NEW."task_id",
    "cost" = CASE WHEN made.changed_1 THEN made.value_1 ELSE r."cost" END,
    "status" = CASE WHEN made.changed_2 THEN made.value_2 ELSE r."status" END,
    "done" = CASE WHEN made.changed_3 THEN made.value_3 ELSE r."done" END,
    "note" = NEW."remark"
            WHERE r."id" = OLD."task_id";
        END;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."jobs__retired" AS r ("id", "cost", "status", "done", "note", "origin") OVERRIDING SYSTEM VALUE
    VALUES (NEW."task_id",
        (NEW."cents"::numeric * 0.01)::numeric(10,2),
        CASE NEW."state" WHEN 'waiting' THEN 1::integer WHEN 'busy' THEN 2::integer ELSE compat.refuse('public.tasks.state: no legacy counterpart', (NEW."state")::text, NULL::integer)::integer END,
        (NEW."done_at" IS NOT NULL),
        NEW."remark",
        'shop'::text)
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."jobs__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."jobs__reverse"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

DROP TRIGGER IF EXISTS "00_compat_sync" ON "public"."jobs";

DROP TRIGGER IF EXISTS "00_compat_sync_insert" ON "public"."jobs";

DROP TRIGGER IF EXISTS "00_compat_sync_truncate" ON "public"."jobs";

DROP TRIGGER IF EXISTS "00_compat_early_writes" ON "public"."tasks";

DROP TRIGGER IF EXISTS "00_compat_early_truncate" ON "public"."tasks";

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

SELECT compat.build_deferred_indexes('jobs');

DELETE FROM compat.deferred_index WHERE mapping = 'jobs';

SET LOCAL compat.early_writes = on;

TRUNCATE "public"."tasks";

SET LOCAL compat.early_writes = off;

DELETE FROM compat.copy_progress WHERE mapping = 'jobs';

DELETE FROM compat.reject WHERE mapping = 'jobs';

UPDATE compat.mapping SET phase = 'expanded', changed_at = clock_timestamp() WHERE name = 'jobs';

UPDATE compat.mapping SET document = '{"accept": ["origin"], "fills": [{"target": "title", "value": "upper(note)"}], "legacy": {"columns": [{"default": "nextval(''public.jobs_id_seq''::regclass)", "name": "id", "nullable": false, "type": "integer"}, {"comment": "in euros", "default": "0.00", "name": "cost", "nullable": false, "type": "numeric(10,2)"}, {"default": "1", "name": "status", "nullable": false, "type": "integer"}, {"default": "false", "name": "done", "nullable": false, "type": "boolean"}, {"name": "note", "type": "text"}, {"default": "''shop''::text", "name": "origin", "type": "text"}], "comment": "What is to be done", "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "jobs_pkey"}, {"columns": ["cost"], "definition": "CHECK ((cost >= 0))", "kind": "check", "name": "jobs_cost_check"}], "indexes": [{"definition": "USING btree (note)", "name": "jobs_note_idx"}], "name": "jobs", "schema": "public", "sequences": [{"column": "id", "name": "jobs_id_seq", "schema": "public"}]}, "name": "jobs", "rules": [{"legacy": "id", "rule": "column", "target": "task_id"}, {"factor": 100, "legacy": "cost", "rule": "cast", "target": "cents"}, {"legacy": "status", "pairs": [[1, "waiting"], [2, "busy"]], "rule": "value_map", "target": "state"}, {"legacy": "done", "rule": "flag", "target": "done_at"}, {"legacy": "note", "rule": "column", "target": "remark"}, {"legacy": "origin", "rule": "constant", "value": "shop"}], "target": {"columns": [{"name": "task_id", "nullable": false, "type": "integer"}, {"name": "cents", "nullable": false, "type": "integer"}, {"name": "state", "nullable": false, "type": "text"}, {"name": "done_at", "type": "timestamp with time zone"}, {"name": "remark", "type": "text"}, {"name": "title", "nullable": false, "type": "text"}], "constraints": [{"columns": ["task_id"], "definition": "PRIMARY KEY (task_id)", "kind": "primary_key", "name": "tasks_pkey"}], "name": "tasks", "schema": "public"}, "version": 1}', fingerprint = '40c7201d65a4be4b264028c4e30759e9d33734c93cd30662e6ffb7137d8efdee' WHERE name = 'jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('jobs', 'alter', jsonb_build_object('fingerprint', '40c7201d65a4be4b264028c4e30759e9d33734c93cd30662e6ffb7137d8efdee'));

