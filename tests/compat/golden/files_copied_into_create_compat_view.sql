CREATE VIEW "public"."files__compat" AS
SELECT
    t."task_id" AS "id",
    t."remark" AS "note"
FROM "public"."documents" AS t;

ALTER VIEW "public"."files__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

CREATE OR REPLACE FUNCTION "compat"."files copied into__insert"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."files copied into__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."files copied into__insert"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."files__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."files copied into__insert"();

CREATE OR REPLACE FUNCTION "compat"."files copied into__reverse"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."files copied into__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."files copied into__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

SELECT compat.wear('"public"."files__compat"'::pg_catalog.regclass, compat.looks_of('"public"."files"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."files__compat"'::pg_catalog.regclass);

