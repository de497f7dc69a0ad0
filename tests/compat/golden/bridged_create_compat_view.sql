CREATE VIEW "public"."jobs__compat" AS
SELECT
    b."id",
    b."cost",
    b."status",
    b."done",
    b."note",
    b."origin"
FROM "compat"."bridged jobs__bridge" AS b;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "cost" SET DEFAULT 0.00;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "status" SET DEFAULT 1;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "done" SET DEFAULT false;

ALTER VIEW "public"."jobs__compat" ALTER COLUMN "origin" SET DEFAULT 'shop'::text;

CREATE OR REPLACE FUNCTION "compat"."bridged jobs__reverse"() RETURNS trigger
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
        n."cost",
        n."status",
        n."done",
        n."remark",
        n."origin"
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."tasks" AS s WHERE s."task_id" = inserted."task_id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note", "origin" = EXCLUDED."origin";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."task_id", s."cost", s."status", s."done", s."remark", s."origin"
        INTO NEW."task_id", NEW."cost", NEW."status", NEW."done", NEW."remark", NEW."origin"
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
        UPDATE "public"."jobs__retired" AS r SET
            "id" = NEW."task_id",
    "cost" = NEW."cost",
    "status" = NEW."status",
    "done" = NEW."done",
    "note" = NEW."remark",
    "origin" = NEW."origin"
        WHERE r."id" = OLD."task_id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."jobs__retired" AS r ("id", "cost", "status", "done", "note", "origin") OVERRIDING SYSTEM VALUE
    VALUES (NEW."task_id",
        NEW."cost",
        NEW."status",
        NEW."done",
        NEW."remark",
        NEW."origin")
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "cost" = EXCLUDED."cost", "status" = EXCLUDED."status", "done" = EXCLUDED."done", "note" = EXCLUDED."note", "origin" = EXCLUDED."origin";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."bridged jobs__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."bridged jobs__reverse"()'::pg_catalog.regprocedure, '"public"."jobs"'::pg_catalog.regclass);

SELECT compat.wear('"public"."jobs__compat"'::pg_catalog.regclass, compat.looks_of('"public"."jobs"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."jobs__compat"'::pg_catalog.regclass);

