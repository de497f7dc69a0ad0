SELECT compat.require_phase('secured files', 'contracted');

SELECT compat.require_above('secured files', ARRAY[]::text[]);

SELECT compat.require_settled_beneath('secured files');

SELECT compat.require_topmost('secured files');

LOCK TABLE "public"."documents" IN SHARE ROW EXCLUSIVE MODE;

CREATE TABLE "public"."files" (
    "id" integer DEFAULT nextval('public.jobs_id_seq'::regclass) NOT NULL,
    "note" text
);

INSERT INTO "public"."files" ("id", "note") OVERRIDING SYSTEM VALUE
SELECT t."task_id", t."remark" FROM "public"."documents" AS t;

ALTER TABLE "public"."files" ADD CONSTRAINT "jobs_pkey" PRIMARY KEY (id);

SELECT compat.restore_following('"public"."files"'::pg_catalog.regclass, (SELECT looks FROM compat.mapping WHERE name = 'secured files'));

ALTER TABLE "public"."files" ENABLE ROW LEVEL SECURITY;

CREATE POLICY "few" ON "public"."files" AS RESTRICTIVE FOR UPDATE TO "clerk" USING ((id < 3)) WITH CHECK ((id < 2));

CREATE POLICY "own" ON "public"."files" AS PERMISSIVE FOR ALL TO PUBLIC USING ((note = CURRENT_USER));

CREATE POLICY "shared" ON "public"."files" AS PERMISSIVE FOR SELECT TO PUBLIC USING ((EXISTS (SELECT FROM public.shares s WHERE (s.file = files.id))));

SELECT compat.wear('"public"."files"'::pg_catalog.regclass, (SELECT looks FROM compat.mapping WHERE name = 'secured files'));

CREATE OR REPLACE FUNCTION "compat"."secured files__visible"(integer, text) RETURNS boolean LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (((note = CURRENT_USER)) OR ((EXISTS (SELECT FROM public.shares s WHERE (s.file = files.id)))))
    FROM (SELECT $1 AS "id", $2 AS "note") AS "files";
END;

SELECT compat.own('"compat"."secured files__visible"(integer, text)'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass, true);

CREATE VIEW "public"."files__compat" WITH (security_barrier) AS
SELECT "id", "note"
FROM (
    SELECT
        t."task_id" AS "id",
        t."remark" AS "note"
    FROM "public"."documents" AS t
) AS "files"
WHERE (SELECT compat.is_exempt('public', 'files', 'files__retired')) OR "compat"."secured files__visible"("id", "note");

ALTER VIEW "public"."files__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

CREATE OR REPLACE FUNCTION "compat"."secured files__allow"() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF (SELECT pg_catalog.bool_and(pg_catalog.row_security_active(c.oid))
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname IN ('files', 'files__retired') AND c.relkind IN ('r', 'p')) IS FALSE THEN
        NULL;
    ELSIF TG_OP = 'UPDATE' AND (SELECT (((note = CURRENT_USER))) AND (NOT (pg_catalog.pg_has_role('clerk', 'USAGE')) OR ((id < 3))) FROM (SELECT OLD."id" AS "id", OLD."note" AS "note") AS "files") IS NOT TRUE THEN
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' AND (SELECT (((note = CURRENT_USER))) FROM (SELECT OLD."id" AS "id", OLD."note" AS "note") AS "files") IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__allow"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__allow"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_allow" INSTEAD OF UPDATE OR DELETE ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__allow"();

CREATE OR REPLACE FUNCTION "compat"."secured files__check"() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    violated text;
BEGIN
    IF (SELECT pg_catalog.bool_and(pg_catalog.row_security_active(c.oid))
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname IN ('files', 'files__retired') AND c.relkind IN ('r', 'p')) IS FALSE THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'INSERT' THEN
        violated := CASE
            WHEN (SELECT (((note = CURRENT_USER))) FROM (SELECT NEW."id" AS "id", NEW."note" AS "note") AS "files") IS NOT TRUE THEN ''
        END;
    ELSIF TG_OP = 'UPDATE' THEN
        violated := CASE
            WHEN (SELECT (((note = CURRENT_USER))) FROM (SELECT NEW."id" AS "id", NEW."note" AS "note") AS "files") IS NOT TRUE THEN ''
            WHEN (SELECT (NOT (pg_catalog.pg_has_role('clerk', 'USAGE')) OR ((id < 2))) FROM (SELECT NEW."id" AS "id", NEW."note" AS "note") AS "files") IS NOT TRUE THEN ' "few"'
            WHEN (SELECT (((note = CURRENT_USER)) OR ((EXISTS (SELECT FROM public.shares s WHERE (s.file = files.id))))) FROM (SELECT NEW."id" AS "id", NEW."note" AS "note") AS "files") IS NOT TRUE THEN ''
        END;
    END IF;
    IF violated IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.format('new row violates row-level security '
                'policy%s for table "%s"', violated, 'files');
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__check"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__check"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_check" INSTEAD OF INSERT OR UPDATE ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__check"();

CREATE TRIGGER "compat_horizon" BEFORE UPDATE OR DELETE ON "public"."files__compat"
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."note_horizon"();

SELECT compat.define_references('"compat"."secured files__referenced"', 'secured files', '"public"."files"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."secured files__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.num_nulls(NEW."id") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'files', 'id');
    END IF;
    INSERT INTO "public"."documents" AS t ("task_id", "remark")
    VALUES (NEW."id",
        NEW."note")
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
    BEGIN
    INSERT INTO "public"."documents" AS t ("task_id", "remark")
    VALUES (NEW."id",
        NEW."note");
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "files"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"remark": "note", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "documents"]}], "retired": "files__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    END IF;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__insert"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__insert"();

CREATE OR REPLACE FUNCTION "compat"."secured files__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF pg_catalog.num_nulls(NEW."id") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'files', 'id');
    END IF;
    IF NEW."id" IS DISTINCT FROM OLD."id" THEN
    BEGIN
    UPDATE "public"."documents" AS t SET
        "task_id" = NEW."id",
        "remark" = NEW."note"
    WHERE t."task_id" = OLD."id"
      AND ROW(t."task_id", t."remark")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "files"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"remark": "note", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "documents"]}], "retired": "files__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        UPDATE "public"."documents" AS t SET
            "remark" = NEW."note"
        WHERE t."task_id" = OLD."id"
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            UPDATE "public"."documents" AS t SET
                "remark" = NEW."note"
            WHERE t."task_id" = OLD."id"
              AND ROW(t."task_id", t."remark")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM FROM "public"."documents" AS t
    WHERE t."task_id" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "files" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'files';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__update"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__update"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__update"();

CREATE OR REPLACE FUNCTION "compat"."secured files__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF "compat"."secured files__referenced"(OLD) THEN
    BEGIN
    DELETE FROM "public"."documents" AS t
    WHERE t."task_id" = OLD."id"
      AND ROW(t."task_id", t."remark")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "files"], "of_legacy": {"jobs_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"remark": "note", "task_id": "id"}, "constraints": {"tasks_pkey": {"columns": ["id"], "name": "jobs_pkey", "parent": null, "same_values": true}}, "name": ["public", "documents"]}], "retired": "files__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        DELETE FROM "public"."documents" AS t
        WHERE t."task_id" = OLD."id"
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            DELETE FROM "public"."documents" AS t
            WHERE t."task_id" = OLD."id"
              AND ROW(t."task_id", t."remark")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN OLD;
    END IF;
    PERFORM FROM "public"."documents" AS t
    WHERE t."task_id" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "files" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'files';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__delete"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__delete"();

CREATE OR REPLACE FUNCTION "compat"."secured files__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."files__retired" AS r;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."files__retired" AS r ("id", "note") OVERRIDING SYSTEM VALUE
        SELECT n."task_id",
        n."remark"
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."documents" AS s WHERE s."task_id" = inserted."task_id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "note" = EXCLUDED."note";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."task_id", s."remark"
        INTO NEW."task_id", NEW."remark"
        FROM "public"."documents" AS s WHERE s."task_id" = NEW."task_id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."files__retired" AS r WHERE r."id" = OLD."task_id" AND pg_catalog.age(r.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."files__retired" AS r WHERE r."id" = OLD."task_id"
            AND (pg_catalog.age(r.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."documents" AS s WHERE s."task_id" = OLD."task_id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."files__retired" AS r SET
            "id" = NEW."task_id",
    "note" = NEW."remark"
        WHERE r."id" = OLD."task_id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."files__retired" AS r ("id", "note") OVERRIDING SYSTEM VALUE
    VALUES (NEW."task_id",
        NEW."remark")
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "note" = EXCLUDED."note";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."secured files__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."documents" AS t;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."documents" AS t ("task_id", "remark")
        SELECT n."id",
        n."note"
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."files" AS s WHERE s."id" = inserted."id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "remark" = EXCLUDED."remark";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."id", s."note"
        INTO NEW."id", NEW."note"
        FROM "public"."files" AS s WHERE s."id" = NEW."id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."documents" AS t WHERE t."task_id" = OLD."id" AND pg_catalog.age(t.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."documents" AS t WHERE t."task_id" = OLD."id"
            AND (pg_catalog.age(t.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."files" AS s WHERE s."id" = OLD."id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."documents" AS t SET
            "task_id" = NEW."id",
        "remark" = NEW."note"
        WHERE t."task_id" = OLD."id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."documents" AS t ("task_id", "remark")
    VALUES (NEW."id",
        NEW."note")
    ON CONFLICT ("task_id") DO UPDATE SET "task_id" = EXCLUDED."task_id", "remark" = EXCLUDED."remark";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."secured files__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."secured files__sync"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

ALTER TABLE "public"."files" RENAME TO "files__retired";

ALTER VIEW "public"."files__compat" RENAME TO "files";

SELECT compat.wear('"public"."files"'::pg_catalog.regclass, compat.looks_of('"public"."files__retired"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."files__retired"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_reverse" AFTER UPDATE OR DELETE
ON "public"."documents" FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__reverse"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."documents"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."files__retired"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."documents" FOR EACH ROW EXECUTE FUNCTION "compat"."secured files__reverse"();
    ELSE
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."documents" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."secured files__reverse"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_reverse_truncate" AFTER TRUNCATE
ON "public"."documents" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."secured files__reverse"();

SELECT compat.guard_retired('"public"."files__retired"'::pg_catalog.regclass, '"compat"."secured files__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass, '"public"."documents"'::pg_catalog.regclass);

SELECT compat.reattach_foreign_keys('secured files', '"public"."files__retired"'::pg_catalog.regclass, ARRAY['id', 'note']::text[], '"public"."documents"'::pg_catalog.regclass, ARRAY['task_id', 'remark']::text[]);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'secured files';

INSERT INTO compat.event (mapping, step, detail) VALUES ('secured files', 'uncontract', jsonb_build_object('fingerprint', '5817b5b500b70690b39e86d240d5c76cb404afd8c219bc34cae5fc663a681713'));

