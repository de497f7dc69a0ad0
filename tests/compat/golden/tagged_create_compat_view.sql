CREATE VIEW "public"."clients__compat" AS
SELECT
    t."id" AS "id",
    t."name" AS "name",
    t."city" AS "city",
    t."kind" AS "kind"
FROM (
    SELECT "id", "name", "city", "kind", "what" FROM "public"."persons" AS t WHERE t."what" = 'client'
) AS t;

ALTER VIEW "public"."clients__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.clients_id_seq'::regclass);

CREATE TRIGGER "compat_horizon" BEFORE UPDATE OR DELETE ON "public"."clients__compat"
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."note_horizon"();

SELECT compat.define_references('"compat"."tagged clients__referenced"', 'tagged clients', '"public"."clients"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."tagged clients__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    IF pg_catalog.has_table_privilege(pg_catalog.to_regclass('kinds'), 'SELECT') THEN
        INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind", "what")
        SELECT NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind",
        'client'
        WHERE NOT (pg_catalog.num_nulls(NEW."kind") = 0 AND NOT EXISTS (SELECT FROM kinds AS other WHERE other."k" = NEW."kind"))
    ON CONFLICT DO NOTHING;
    ELSE
        INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind", "what")
        VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind",
        'client')
    ON CONFLICT DO NOTHING;
    END IF;
    IF NOT FOUND THEN
    BEGIN
    INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind", "what")
    VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind",
        'client');
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
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

REVOKE ALL ON FUNCTION "compat"."tagged clients__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__insert"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."tagged clients__insert"();

CREATE OR REPLACE FUNCTION "compat"."tagged clients__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    IF NEW."id" IS DISTINCT FROM OLD."id"
    OR NEW."kind" IS DISTINCT FROM OLD."kind" THEN
    BEGIN
    UPDATE "public"."persons" AS t SET
        "id" = NEW."id",
        "name" = NEW."name",
        "city" = NEW."city",
        "kind" = NEW."kind"
    WHERE t."id" = OLD."id" AND t."what" = 'client'
      AND ROW(t."id", t."name", t."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        UPDATE "public"."persons" AS t SET
            "name" = NEW."name",
        "city" = NEW."city"
        WHERE t."id" = OLD."id" AND t."what" = 'client'
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            UPDATE "public"."persons" AS t SET
                "name" = NEW."name",
        "city" = NEW."city"
            WHERE t."id" = OLD."id" AND t."what" = 'client'
              AND ROW(t."id", t."name", t."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN NEW;
    END IF;
    PERFORM FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" AND t."what" = 'client' AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "clients" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'clients';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."tagged clients__update"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__update"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."tagged clients__update"();

CREATE OR REPLACE FUNCTION "compat"."tagged clients__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
<<noted>>
DECLARE
    horizon CONSTANT integer := COALESCE(NULLIF(pg_catalog.current_setting('compat.horizon', true), '')::integer, 2147483647);
BEGIN
    IF "compat"."tagged clients__referenced"(OLD) THEN
    BEGIN
    DELETE FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" AND t."what" = 'client'
      AND ROW(t."id", t."name", t."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
        DELETE FROM "public"."persons" AS t
        WHERE t."id" = OLD."id" AND t."what" = 'client'
          AND pg_catalog.age(t.xmin) > noted.horizon;
        IF NOT FOUND THEN
            DELETE FROM "public"."persons" AS t
            WHERE t."id" = OLD."id" AND t."what" = 'client'
              AND ROW(t."id", t."name", t."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record;
        END IF;
    END IF;
    IF FOUND THEN
        RETURN OLD;
    END IF;
    PERFORM FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" AND t."what" = 'client' AND NOT compat.is_own_change(t.xmin);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = 'could not serialize access to "clients" due to concurrent update',
        HINT = 'The row was changed after the statement read it; retry the transaction.',
        SCHEMA = 'public', TABLE = 'clients';
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."tagged clients__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__delete"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."tagged clients__delete"();

CREATE OR REPLACE FUNCTION "compat"."tagged clients__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."clients__retired" AS r WHERE true
        AND NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind", "what" FROM "public"."persons" AS t WHERE t."what" = 'client'
) AS t
    WHERE t."id" = r."id");
        INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
        SELECT t."id", t."name", t."city", t."kind"
        FROM (
    SELECT "id", "name", "city", "kind", "what" FROM "public"."persons" AS t WHERE t."what" = 'client'
) AS t
        WHERE true
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
        WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
    ELSIF TG_ARGV[0] = '0' THEN
        IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (NEW."id" IS DISTINCT FROM OLD."id" OR NEW."what" IS DISTINCT FROM OLD."what") THEN
            DELETE FROM "public"."clients__retired" AS r WHERE r."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind", "what" FROM "public"."persons" AS t WHERE t."what" = 'client'
) AS t
    WHERE t."id" = r."id");
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."name", t."city", t."kind"
            FROM (
    SELECT "id", "name", "city", "kind", "what" FROM "public"."persons" AS t WHERE t."what" = 'client'
) AS t
            WHERE t."id" = NEW."id"
            ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
            WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
        END IF;
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."tagged clients__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__reverse"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.wear('"public"."clients__compat"'::pg_catalog.regclass, compat.looks_of('"public"."clients"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."clients__compat"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."tagged clients__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."clients__compat";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."id", s."name", s."city", s."kind"
        INTO NEW."id", NEW."name", NEW."city", NEW."kind"
        FROM "public"."clients" AS s WHERE s."id" = NEW."id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since.
        IF NOT EXISTS (SELECT FROM "public"."clients" AS s WHERE s."id" = OLD."id" AND pg_catalog.age(s.xmin) <= 0) THEN
            DELETE FROM "public"."clients__compat" AS v WHERE v."id" = OLD."id";
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE "public"."clients__compat" AS v SET "id" = NEW."id", "name" = NEW."name", "city" = NEW."city", "kind" = NEW."kind" WHERE v."id" = OLD."id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    UPDATE "public"."clients__compat" AS v SET "id" = NEW."id", "name" = NEW."name", "city" = NEW."city", "kind" = NEW."kind" WHERE v."id" = NEW."id";
    IF NOT FOUND THEN
        INSERT INTO "public"."clients__compat" ("id", "name", "city", "kind") VALUES (NEW."id", NEW."name", NEW."city", NEW."kind");
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."tagged clients__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__sync"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync_tagged clients" AFTER INSERT OR UPDATE OR DELETE
ON "public"."clients" FOR EACH ROW EXECUTE FUNCTION "compat"."tagged clients__sync"();

CREATE TRIGGER "00_compat_sync_truncate_tagged clients" AFTER TRUNCATE
ON "public"."clients" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."tagged clients__sync"();

CREATE TRIGGER "00_compat_early_writes_insert_tagged clients" BEFORE INSERT
ON "public"."persons" FOR EACH ROW
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on'
      AND (NEW."what" = 'client'))
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_writes_update_tagged clients" BEFORE UPDATE
ON "public"."persons" FOR EACH ROW
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on'
      AND (OLD."what" = 'client' OR NEW."what" = 'client'))
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_writes_delete_tagged clients" BEFORE DELETE
ON "public"."persons" FOR EACH ROW
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on'
      AND (OLD."what" = 'client'))
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_truncate_tagged clients" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

