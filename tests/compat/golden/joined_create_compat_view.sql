CREATE VIEW "public"."clients__compat" AS
SELECT
    t."id" AS "id",
    t."name" AS "name",
    p1."city" AS "city",
    t."kind" AS "kind"
FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id";

ALTER VIEW "public"."clients__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.clients_id_seq'::regclass);

SELECT compat.define_references('"compat"."joined clients__referenced"', 'joined clients', '"public"."clients"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."joined clients__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    t "public"."persons"%ROWTYPE;
    p1 "public"."cities"%ROWTYPE;
    doubtful boolean := false;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    IF pg_catalog.has_table_privilege(pg_catalog.to_regclass('kinds'), 'SELECT') THEN
        doubtful := pg_catalog.num_nulls(NEW."kind") = 0 AND NOT EXISTS (SELECT FROM kinds AS other WHERE other."k" = NEW."kind");
    END IF;
    IF NOT pg_catalog.num_nonnulls(NEW."city") > 0 THEN
        p1 := NULL;
    ELSE
        SELECT p1.* INTO p1 FROM "public"."cities" AS p1
        WHERE p1."city" = NEW."city" FOR KEY SHARE;
        IF NOT FOUND THEN
            IF doubtful THEN
            BEGIN
            INSERT INTO "public"."cities" AS p1 ("city")
            VALUES (NEW."city")
            ON CONFLICT ("city") DO NOTHING
            RETURNING p1.* INTO p1;
            EXCEPTION WHEN integrity_constraint_violation THEN
                DECLARE
                    message text; detail text; schema_name text; table_name text;
                    column_name text; constraint_name text;
                BEGIN
                    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                        schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                        column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                    PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city"}, "constraints": {"cities_city_key": {"columns": [], "name": "cities_city_key", "parent": null, "same_values": true}, "cities_pkey": {"columns": [], "name": "cities_pkey", "parent": null, "same_values": true}}, "name": ["public", "cities"]}], "retired": "clients__retired"}', SQLSTATE, message,
                        detail, schema_name, table_name, column_name, constraint_name);
                    RAISE;
                END;
            END;
            ELSE
            INSERT INTO "public"."cities" AS p1 ("city")
            VALUES (NEW."city")
            ON CONFLICT ("city") DO NOTHING
            RETURNING p1.* INTO p1;
            END IF;
            IF NOT FOUND THEN  -- somebody else has made it meanwhile
                SELECT p1.* INTO p1 FROM "public"."cities" AS p1
                WHERE p1."city" = NEW."city" FOR KEY SHARE;
                IF NOT FOUND THEN
                    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                        MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                        HINT = 'The row was changed after the statement read it; retry the transaction.',
                        SCHEMA = 'public', TABLE = 'clients';
                END IF;
            END IF;
        END IF;
    END IF;
    IF NOT doubtful THEN
    INSERT INTO "public"."persons" AS t ("id", "name", "kind", "city_id")
    VALUES (NEW."id",
        NEW."name",
        NEW."kind",
        p1."city_id")
    ON CONFLICT DO NOTHING
    RETURNING t.* INTO t;
    doubtful := NOT FOUND;
    END IF;
    IF doubtful THEN
    BEGIN
    INSERT INTO "public"."persons" AS t ("id", "name", "kind", "city_id")
    VALUES (NEW."id",
        NEW."name",
        NEW."kind",
        p1."city_id")
    RETURNING t.* INTO t;
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."joined clients__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."joined clients__insert"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."joined clients__insert"();

CREATE OR REPLACE FUNCTION "compat"."joined clients__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    t "public"."persons"%ROWTYPE;
    p1 "public"."cities"%ROWTYPE;
    left_p1 "public"."cities"%ROWTYPE;
    doubtful boolean := false;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    SELECT t.* INTO t FROM "public"."persons" AS t
    WHERE t."id" = OLD."id";
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF NEW."city" IS DISTINCT FROM OLD."city" THEN
        PERFORM FROM "public"."cities" AS p1
        WHERE p1."city_id" = t."city_id" OR p1."city" = NEW."city" ORDER BY p1."city_id" FOR UPDATE;
        SELECT p1.* INTO p1 FROM "public"."cities" AS p1
        WHERE p1."city_id" = t."city_id" FOR SHARE;
    END IF;
    SELECT t.* INTO t FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF ROW(p1."city_id") IS DISTINCT FROM ROW(t."city_id") THEN
        SELECT p1.* INTO p1 FROM "public"."cities" AS p1
        WHERE p1."city_id" = t."city_id";
    END IF;
    IF NOT (ROW(t."id", t."name", p1."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
        IF EXISTS (SELECT FROM "public"."persons" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = 'could not serialize access to "clients" due to concurrent update',
            HINT = 'The row was changed after the statement read it; retry the transaction.',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    doubtful := NEW."id" IS DISTINCT FROM OLD."id"
    OR NEW."kind" IS DISTINCT FROM OLD."kind";
    left_p1 := p1;
    IF NEW."city" IS DISTINCT FROM OLD."city" THEN
        IF NOT pg_catalog.num_nonnulls(NEW."city") > 0 THEN
            p1 := NULL;
        ELSE
            SELECT p1.* INTO p1 FROM "public"."cities" AS p1
            WHERE p1."city" = NEW."city" FOR KEY SHARE;
            IF NOT FOUND THEN
                IF doubtful THEN
                BEGIN
                INSERT INTO "public"."cities" AS p1 ("city")
                VALUES (NEW."city")
                ON CONFLICT ("city") DO NOTHING
                RETURNING p1.* INTO p1;
                EXCEPTION WHEN integrity_constraint_violation THEN
                    DECLARE
                        message text; detail text; schema_name text; table_name text;
                        column_name text; constraint_name text;
                    BEGIN
                        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                            schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                            column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                        PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city"}, "constraints": {"cities_city_key": {"columns": [], "name": "cities_city_key", "parent": null, "same_values": true}, "cities_pkey": {"columns": [], "name": "cities_pkey", "parent": null, "same_values": true}}, "name": ["public", "cities"]}], "retired": "clients__retired"}', SQLSTATE, message,
                            detail, schema_name, table_name, column_name, constraint_name);
                        RAISE;
                    END;
                END;
                ELSE
                INSERT INTO "public"."cities" AS p1 ("city")
                VALUES (NEW."city")
                ON CONFLICT ("city") DO NOTHING
                RETURNING p1.* INTO p1;
                END IF;
                IF NOT FOUND THEN  -- somebody else has made it meanwhile
                    SELECT p1.* INTO p1 FROM "public"."cities" AS p1
                    WHERE p1."city" = NEW."city" FOR KEY SHARE;
                    IF NOT FOUND THEN
                        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                            MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                            HINT = 'The row was changed after the statement read it; retry the transaction.',
                            SCHEMA = 'public', TABLE = 'clients';
                    END IF;
                END IF;
            END IF;
        END IF;
    END IF;
    IF NEW."id" IS DISTINCT FROM OLD."id"
    OR NEW."name" IS DISTINCT FROM OLD."name"
    OR NEW."kind" IS DISTINCT FROM OLD."kind"
    OR NEW."city" IS DISTINCT FROM OLD."city" THEN
        IF doubtful THEN
        BEGIN
        UPDATE "public"."persons" AS t SET
        "id" = NEW."id",
        "name" = NEW."name",
        "kind" = NEW."kind",
        "city_id" = CASE WHEN NEW."city" IS DISTINCT FROM OLD."city" THEN p1."city_id" ELSE t."city_id" END
    WHERE t."id" = OLD."id";
        EXCEPTION WHEN integrity_constraint_violation THEN
            DECLARE
                message text; detail text; schema_name text; table_name text;
                column_name text; constraint_name text;
            BEGIN
                GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                    schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                    column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                    detail, schema_name, table_name, column_name, constraint_name);
                RAISE;
            END;
        END;
        ELSE
        UPDATE "public"."persons" AS t SET
        "id" = NEW."id",
        "name" = NEW."name",
        "kind" = NEW."kind",
        "city_id" = CASE WHEN NEW."city" IS DISTINCT FROM OLD."city" THEN p1."city_id" ELSE t."city_id" END
    WHERE t."id" = OLD."id";
        END IF;
    END IF;
    IF NEW."city" IS DISTINCT FROM OLD."city" THEN
        PERFORM FROM "public"."cities" AS gone WHERE gone."city_id" = left_p1."city_id" FOR UPDATE;
        DELETE FROM "public"."cities" AS gone WHERE gone."city_id" = left_p1."city_id"
        AND NOT EXISTS (SELECT FROM "public"."persons" AS t WHERE t."city_id" = gone."city_id");
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."joined clients__update"() FROM PUBLIC;

SELECT compat.own('"compat"."joined clients__update"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."joined clients__update"();

CREATE OR REPLACE FUNCTION "compat"."joined clients__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    t "public"."persons"%ROWTYPE;
    p1 "public"."cities"%ROWTYPE;
    doubtful boolean := false;
BEGIN
    SELECT t.* INTO t FROM "public"."persons" AS t
    WHERE t."id" = OLD."id";
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT p1.* INTO p1 FROM "public"."cities" AS p1
    WHERE p1."city_id" = t."city_id" FOR UPDATE;
    SELECT t.* INTO t FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF ROW(p1."city_id") IS DISTINCT FROM ROW(t."city_id") THEN
        SELECT p1.* INTO p1 FROM "public"."cities" AS p1
        WHERE p1."city_id" = t."city_id";
    END IF;
    IF NOT (ROW(t."id", t."name", p1."city", t."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
        IF EXISTS (SELECT FROM "public"."persons" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = 'could not serialize access to "clients" due to concurrent update',
            HINT = 'The row was changed after the statement read it; retry the transaction.',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    doubtful := "compat"."joined clients__referenced"(OLD);
    IF doubtful THEN
    BEGIN
    DELETE FROM "public"."persons" AS t WHERE t."id" = OLD."id";
    EXCEPTION WHEN integrity_constraint_violation THEN
        DECLARE
            message text; detail text; schema_name text; table_name text;
            column_name text; constraint_name text;
        BEGIN
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
            PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                detail, schema_name, table_name, column_name, constraint_name);
            RAISE;
        END;
    END;
    ELSE
    DELETE FROM "public"."persons" AS t WHERE t."id" = OLD."id";
    END IF;
    PERFORM FROM "public"."cities" AS gone WHERE gone."city_id" = p1."city_id" FOR UPDATE;
    DELETE FROM "public"."cities" AS gone WHERE gone."city_id" = p1."city_id"
    AND NOT EXISTS (SELECT FROM "public"."persons" AS t WHERE t."city_id" = gone."city_id");
    RETURN OLD;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."joined clients__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."joined clients__delete"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."joined clients__delete"();

CREATE OR REPLACE FUNCTION "compat"."joined clients__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."clients__retired" AS r WHERE true
        AND NOT EXISTS (SELECT FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
    WHERE t."id" = r."id");
        INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
        SELECT t."id", t."name", p1."city", t."kind"
        FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
        WHERE true
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
        WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
    ELSIF TG_ARGV[0] = '0' THEN
        IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (NEW."id" IS DISTINCT FROM OLD."id" OR NEW."city_id" IS DISTINCT FROM OLD."city_id") THEN
            DELETE FROM "public"."clients__retired" AS r WHERE r."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
    WHERE t."id" = r."id");
        END IF;
        IF TG_OP <> 'DELETE' THEN
            IF TG_OP = 'INSERT' OR NEW."city_id" IS DISTINCT FROM OLD."city_id" THEN
                PERFORM FROM "public"."cities" AS p1
                WHERE p1."city_id" = NEW."city_id" FOR SHARE;
            END IF;
            INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."name", p1."city", t."kind"
            FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
            WHERE t."id" = NEW."id"
            ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
            WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
        END IF;
    ELSIF TG_ARGV[0] = '1' THEN
        IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (NEW."city_id" IS DISTINCT FROM OLD."city_id") THEN
            PERFORM FROM "public"."persons" AS t WHERE t."city_id" = OLD."city_id" ORDER BY t."id" FOR NO KEY UPDATE;
            INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."name", p1."city", t."kind"
            FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
            WHERE t."city_id" = OLD."city_id"
            ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
            WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
        END IF;
        IF TG_OP <> 'DELETE' THEN
            PERFORM FROM "public"."persons" AS t WHERE t."city_id" = NEW."city_id" ORDER BY t."id" FOR NO KEY UPDATE;
            INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."name", p1."city", t."kind"
            FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id"
            WHERE t."city_id" = NEW."city_id"
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

REVOKE ALL ON FUNCTION "compat"."joined clients__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."joined clients__reverse"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.wear('"public"."clients__compat"'::pg_catalog.regclass, compat.looks_of('"public"."clients"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."clients__compat"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."joined clients__sync"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."joined clients__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."joined clients__sync"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync_joined clients" AFTER INSERT OR UPDATE OR DELETE
ON "public"."clients" FOR EACH ROW EXECUTE FUNCTION "compat"."joined clients__sync"();

CREATE TRIGGER "00_compat_sync_truncate_joined clients" AFTER TRUNCATE
ON "public"."clients" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."joined clients__sync"();

CREATE TRIGGER "00_compat_early_writes_joined clients" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_truncate_joined clients" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_writes_joined clients" BEFORE UPDATE OF "city_id", "city" OR DELETE
ON "public"."cities" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_truncate_joined clients" AFTER TRUNCATE
ON "public"."cities" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

