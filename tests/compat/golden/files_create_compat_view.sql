CREATE VIEW "public"."files__compat" AS
SELECT
    t."task_id" AS "id",
    t."remark" AS "note"
FROM "public"."documents" AS t;

ALTER VIEW "public"."files__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

CREATE OR REPLACE FUNCTION "compat"."files__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE "public"."files__retired" AS r SET
            "id" = NEW."task_id",
    "note" = NEW."remark"
        WHERE r."id" = OLD."task_id";
        IF NOT FOUND THEN
        INSERT INTO "public"."files__retired" AS r ("id", "note") OVERRIDING SYSTEM VALUE
        VALUES (NEW."task_id",
    NEW."remark")
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "note" = EXCLUDED."note";
        END IF;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO "public"."files__retired" AS r ("id", "note") OVERRIDING SYSTEM VALUE
        VALUES (NEW."task_id",
    NEW."remark")
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "note" = EXCLUDED."note";
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM "public"."files__retired" AS r WHERE r."id" = OLD."task_id";
    ELSE
        DELETE FROM "public"."files__retired";
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."files__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."files__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

SELECT compat.wear('"public"."files__compat"'::pg_catalog.regclass, compat.looks_of('"public"."files"'::pg_catalog.regclass));

