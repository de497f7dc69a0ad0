CREATE VIEW "public"."people__compat" AS
SELECT
    t."number" AS "id",
    t."boss_number" AS "boss"
FROM "public"."persons" AS t;

CREATE TRIGGER "compat_horizon" BEFORE UPDATE OR DELETE ON "public"."people__compat"
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."note_horizon"();

SELECT compat.define_references('"compat"."people__referenced"', 'people', '"public"."people"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."people__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.num_nulls(NEW."id") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'people', 'id');
    END IF;
    INSERT INTO "public"."persons" AS t ("number", "boss_id", "boss_number")
    VALUES (NEW."id",
        (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss"),
        NEW."boss")
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
    BEGIN
    INSERT INTO "public"."persons" AS t ("number", "boss_id", "boss_number")
    VALUES (NEW."id",
        (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss"),
        NEW."boss");
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "people"], "of_legacy": {"people_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": true}, "people_pkey": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"boss_id": "boss", "boss_number": "boss", "number": "id"}, "constraints": {"persons_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": false}, "persons_number": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}, "persons_pkey": {"columns": [], "name": "persons_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "people__retired"}', SQLSTATE, message,
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

REVOKE ALL ON FUNCTION "compat"."people__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."people__insert"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."people__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."people__insert"();

CREATE OR REPLACE FUNCTION "compat"."people__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF pg_catalog.num_nulls(NEW."id") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'people', 'id');
    END IF;
    IF NEW."id" IS DISTINCT FROM OLD."id"
    OR NEW."boss" IS DISTINCT FROM OLD."boss" THEN
    BEGIN
    UPDATE "public"."persons" AS t SET
        "number" = NEW."id",
        "boss_id" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss") ELSE t."boss_id" END,
        "boss_number" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN NEW."boss" ELSE t."boss_number" END
    WHERE t."number" = OLD."id"
      AND ROW(t."number", t."boss_number")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "people"], "of_legacy": {"people_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": true}, "people_pkey": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"boss_id": "boss", "boss_number": "boss", "number": "id"}, "constraints": {"persons_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": false}, "persons_number": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}, "persons_pkey": {"columns": [], "name": "persons_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "people__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        IF NEW."boss" IS DISTINCT FROM OLD."boss" THEN
            UPDATE "public"."persons" AS t SET
                "number" = NEW."id",
        "boss_id" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss") ELSE t."boss_id" END,
        "boss_number" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN NEW."boss" ELSE t."boss_number" END
            WHERE t."number" = OLD."id"
              AND pg_catalog.age(t.xmin) > noted.horizon;
        ELSE
            UPDATE "public"."persons" AS t SET
                "number" = NEW."id"
            WHERE t."number" = OLD."id"
              AND pg_catalog.age(t.xmin) > noted.horizon;
        END IF;
        IF NOT FOUND THEN
            UPDATE "public"."persons" AS t SET
                "number" = NEW."id",
        "boss_id" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss") ELSE t."boss_id" END,
        "boss_number" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN NEW."boss" ELSE t."boss_number" END
            WHERE t."number" = OLD."id"
              AND ROW(t."number", t."boss_number")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM FROM "public"."persons" AS t
    WHERE t."number" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "people" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'people';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__update"() FROM PUBLIC;

SELECT compat.own('"compat"."people__update"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."people__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."people__update"();

CREATE OR REPLACE FUNCTION "compat"."people__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF "compat"."people__referenced"(OLD) THEN
    BEGIN
    DELETE FROM "public"."persons" AS t
    WHERE t."number" = OLD."id"
      AND ROW(t."number", t."boss_number")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "people"], "of_legacy": {"people_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": true}, "people_pkey": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"boss_id": "boss", "boss_number": "boss", "number": "id"}, "constraints": {"persons_boss": {"columns": ["boss"], "name": "people_boss", "parent": "people", "same_values": false}, "persons_number": {"columns": ["id"], "name": "people_pkey", "parent": null, "same_values": true}, "persons_pkey": {"columns": [], "name": "persons_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "people__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        DELETE FROM "public"."persons" AS t
        WHERE t."number" = OLD."id"
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            DELETE FROM "public"."persons" AS t
            WHERE t."number" = OLD."id"
              AND ROW(t."number", t."boss_number")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN OLD;
    END IF;
    PERFORM FROM "public"."persons" AS t
    WHERE t."number" = OLD."id" AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "people" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'people';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."people__delete"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."people__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."people__delete"();

CREATE OR REPLACE FUNCTION "compat"."people__arrive_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    missing record;
BEGIN
    IF pg_catalog.to_regclass('"public"."people__retired"') IS NULL
    AND (pg_catalog.pg_trigger_depth() > 1
         OR pg_catalog.current_setting('compat.early_writes', true) = 'on') THEN
        RETURN NULL;  -- the sync, or the copy, which see to it themselves
    END IF;
    LOOP
        SELECT t."boss_number" AS number, EXISTS (SELECT FROM "public"."persons" AS parent WHERE parent."number" = t."boss_number") AS present
        INTO missing
        FROM "public"."persons" AS t
        WHERE t."boss_id" IS NULL AND t."boss_number" IS NOT NULL AND compat.is_own_change(t.xmin) ORDER BY 2 LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF NOT missing.present THEN
            PERFORM compat.refuse_orphan('public', 'people', 'boss', 'people_boss', 'people', (missing.number)::text);
        END IF;
        UPDATE "public"."persons" AS t SET "boss_id" = parent."id"
        FROM "public"."persons" AS parent
        WHERE t."boss_id" IS NULL AND t."boss_number" IS NOT NULL AND compat.is_own_change(t.xmin)
        AND parent."number" = t."boss_number";
    END LOOP;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__arrive_1"() FROM PUBLIC;

SELECT compat.own('"compat"."people__arrive_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_arrive_1" AFTER INSERT OR UPDATE
ON "public"."people__compat" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__arrive_1"();

CREATE OR REPLACE FUNCTION "compat"."people__defer_own"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NOT compat.are_deferrable('public', ARRAY['persons_boss']::name[])
    OR pg_catalog.to_regclass('"public"."people__retired"') IS NULL
    AND (pg_catalog.pg_trigger_depth() > 1
         OR pg_catalog.current_setting('compat.early_writes', true) = 'on') THEN
        RETURN NULL;
    END IF;
    SET CONSTRAINTS "public"."persons_boss" DEFERRED;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__defer_own"() FROM PUBLIC;

SELECT compat.own('"compat"."people__defer_own"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_defer_own" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."people__compat" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__defer_own"();

CREATE OR REPLACE FUNCTION "compat"."people__check_own"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF NOT compat.are_deferrable('public', ARRAY['persons_boss']::name[])
    OR pg_catalog.to_regclass('"public"."people__retired"') IS NULL
    AND (pg_catalog.pg_trigger_depth() > 1
         OR pg_catalog.current_setting('compat.early_writes', true) = 'on') THEN
        RETURN NULL;
    END IF;
    SET CONSTRAINTS "public"."persons_boss" IMMEDIATE;
    RETURN NULL;
EXCEPTION WHEN foreign_key_violation THEN
    DECLARE
        message text; detail text; constraint_name text;
    BEGIN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            constraint_name = CONSTRAINT_NAME;
        PERFORM compat.raise_of_own_key(E'{"keys": {"persons_boss": {"columns": [["boss_id", "boss"], ["id", "id"]], "name": "people_boss", "number": ["\\"boss_id\\"", "\\"boss_number\\""]}}, "legacy": ["public", "people"], "target": ["\\"public\\".\\"persons\\"", "persons"]}', message, detail, constraint_name);
        RAISE;
    END;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__check_own"() FROM PUBLIC;

SELECT compat.own('"compat"."people__check_own"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "compat_check_own" AFTER INSERT OR UPDATE OR DELETE
ON "public"."people__compat" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__check_own"();

CREATE OR REPLACE FUNCTION "compat"."people__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."people__retired" AS r;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."people__retired" AS r ("id", "boss") OVERRIDING SYSTEM VALUE
        SELECT n."number",
        n."boss_number"
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."persons" AS s WHERE s."number" = inserted."number" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "boss" = EXCLUDED."boss";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."number", s."boss_id", s."boss_number"
        INTO NEW."number", NEW."boss_id", NEW."boss_number"
        FROM "public"."persons" AS s WHERE s."number" = NEW."number" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."people__retired" AS r WHERE r."id" = OLD."number" AND pg_catalog.age(r.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."people__retired" AS r WHERE r."id" = OLD."number"
            AND (pg_catalog.age(r.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."persons" AS s WHERE s."number" = OLD."number" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."people__retired" AS r SET
            "id" = NEW."number",
    "boss" = CASE WHEN NEW."boss_number" IS DISTINCT FROM OLD."boss_number" THEN NEW."boss_number" ELSE r."boss" END
        WHERE r."id" = OLD."number";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."people__retired" AS r ("id", "boss") OVERRIDING SYSTEM VALUE
    VALUES (NEW."number",
        NEW."boss_number")
    ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "boss" = EXCLUDED."boss";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."people__reverse"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.wear('"public"."people__compat"'::pg_catalog.regclass, compat.looks_of('"public"."people"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."people__compat"'::pg_catalog.regclass);

