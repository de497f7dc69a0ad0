CREATE VIEW "public"."clients__compat" AS
SELECT
    t."id" AS "id",
    t."name" AS "name",
    t."city" AS "city",
    t."kind" AS "kind"
FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t;

ALTER VIEW "public"."clients__compat" ALTER COLUMN "id" SET DEFAULT nextval('public.clients_id_seq'::regclass);

SELECT compat.define_references('"compat"."chosen clients__referenced"', 'chosen clients', '"public"."clients"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."chosen clients__insert"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    wanted integer;
    doubtful boolean := false;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    IF pg_catalog.has_table_privilege(pg_catalog.to_regclass('kinds'), 'SELECT') THEN
        doubtful := pg_catalog.num_nulls(NEW."kind") = 0 AND NOT EXISTS (SELECT FROM kinds AS other WHERE other."k" = NEW."kind");
    END IF;
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('public.persons' || ROW((NEW."id")::integer)::text, 0));
    IF EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = NEW."id") THEN
        RAISE EXCEPTION USING ERRCODE = 'unique_violation',
            MESSAGE = 'duplicate key value violates unique constraint "clients_pkey"',
            DETAIL = pg_catalog.format('Key (id)=(%s) already exists.', NEW."id"),
            CONSTRAINT = 'clients_pkey',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    wanted := CASE WHEN (SELECT kind = 'firm' FROM (SELECT NEW.*) AS this_row) THEN 1 WHEN (SELECT kind = 'person' FROM (SELECT NEW.*) AS this_row) THEN 2 END;
    IF wanted = 1 THEN
        IF NOT doubtful THEN
        INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
        VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind")
    ON CONFLICT DO NOTHING;
        doubtful := NOT FOUND;
        END IF;
        IF doubtful THEN
        BEGIN
        INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
        VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind");
        EXCEPTION WHEN integrity_constraint_violation THEN
            DECLARE
                message text; detail text; schema_name text; table_name text;
                column_name text; constraint_name text;
            BEGIN
                GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                    schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                    column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"firms_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "firms"]}], "retired": "clients__retired"}', SQLSTATE, message,
                    detail, schema_name, table_name, column_name, constraint_name);
                RAISE;
            END;
        END;
        END IF;
    ELSIF wanted = 2 THEN
        IF NOT doubtful THEN
        INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
        VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind")
    ON CONFLICT DO NOTHING;
        doubtful := NOT FOUND;
        END IF;
        IF doubtful THEN
        BEGIN
        INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
        VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind");
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
    ELSE
        RAISE EXCEPTION USING ERRCODE = 'check_violation',
            MESSAGE = 'no table of chosen clients takes this row',
            DETAIL = pg_catalog.format('Failing row contains %s.', NEW),
            HINT = 'Correct the row, or give the mapping a remainder.',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."chosen clients__insert"() FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__insert"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_insert" INSTEAD OF INSERT ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."chosen clients__insert"();

CREATE OR REPLACE FUNCTION "compat"."chosen clients__update"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    wanted integer;
    doubtful boolean := false;
    stays boolean;
    t1 "public"."firms"%ROWTYPE;
    t2 "public"."persons"%ROWTYPE;
BEGIN
    IF pg_catalog.num_nulls(NEW."id", NEW."name") > 0 THEN
        PERFORM compat.refuse_null(NEW, 'public', 'clients', 'id', 'name');
    END IF;
    doubtful := NEW."id" IS DISTINCT FROM OLD."id"
    OR NEW."kind" IS DISTINCT FROM OLD."kind";
    IF NEW."id" IS DISTINCT FROM OLD."id" THEN
        PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('public.persons' || ROW((NEW."id")::integer)::text, 0));
        IF EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = NEW."id") THEN
            RAISE EXCEPTION USING ERRCODE = 'unique_violation',
                MESSAGE = 'duplicate key value violates unique constraint "clients_pkey"',
                DETAIL = pg_catalog.format('Key (id)=(%s) already exists.', NEW."id"),
                CONSTRAINT = 'clients_pkey',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
    END IF;
    wanted := CASE WHEN (SELECT kind = 'firm' FROM (SELECT NEW.*) AS this_row) THEN 1 WHEN (SELECT kind = 'person' FROM (SELECT NEW.*) AS this_row) THEN 2 END;
    stays := wanted IS NOT DISTINCT FROM CASE WHEN (SELECT kind = 'firm' FROM (SELECT OLD.*) AS this_row) THEN 1 WHEN (SELECT kind = 'person' FROM (SELECT OLD.*) AS this_row) THEN 2 END;
    SELECT t.* INTO t1 FROM "public"."firms" AS t
    WHERE t."id" = OLD."id" FOR NO KEY UPDATE;
    IF FOUND THEN
        IF NOT (ROW(t1."id", t1."name", t1."city", t1."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
            IF EXISTS (SELECT FROM "public"."firms" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                HINT = 'The row was changed after the statement read it; retry the transaction.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
        IF stays OR wanted = 1 THEN
            IF doubtful THEN
            BEGIN
            UPDATE "public"."firms" AS t SET
                "id" = NEW."id",
        "name" = NEW."name",
        "city" = NEW."city",
        "kind" = NEW."kind"
            WHERE t."id" = OLD."id";
            EXCEPTION WHEN integrity_constraint_violation THEN
                DECLARE
                    message text; detail text; schema_name text; table_name text;
                    column_name text; constraint_name text;
                BEGIN
                    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                        schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                        column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                    PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"firms_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "firms"]}], "retired": "clients__retired"}', SQLSTATE, message,
                        detail, schema_name, table_name, column_name, constraint_name);
                    RAISE;
                END;
            END;
            ELSE
            UPDATE "public"."firms" AS t SET
                "id" = NEW."id",
        "name" = NEW."name",
        "city" = NEW."city",
        "kind" = NEW."kind"
            WHERE t."id" = OLD."id";
            END IF;
            RETURN NEW;
        END IF;
        DELETE FROM "public"."firms" AS t WHERE t."id" = OLD."id";
        IF wanted = 2 THEN
            IF NOT doubtful THEN
            INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
            VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind")
    ON CONFLICT DO NOTHING;
            doubtful := NOT FOUND;
            END IF;
            IF doubtful THEN
            BEGIN
            INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
            VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind");
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
        ELSE
            RAISE EXCEPTION USING ERRCODE = 'check_violation',
                MESSAGE = 'no table of chosen clients takes this row',
                DETAIL = pg_catalog.format('Failing row contains %s.', NEW),
                HINT = 'Correct the row, or give the mapping a remainder.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
        RETURN NEW;
    END IF;
    SELECT t.* INTO t2 FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" FOR NO KEY UPDATE;
    IF FOUND THEN
        IF NOT (ROW(t2."id", t2."name", t2."city", t2."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
            IF EXISTS (SELECT FROM "public"."persons" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                HINT = 'The row was changed after the statement read it; retry the transaction.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
        IF stays OR wanted = 2 THEN
            IF doubtful THEN
            BEGIN
            UPDATE "public"."persons" AS t SET
                "id" = NEW."id",
        "name" = NEW."name",
        "city" = NEW."city",
        "kind" = NEW."kind"
            WHERE t."id" = OLD."id";
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
                "id" = NEW."id",
        "name" = NEW."name",
        "city" = NEW."city",
        "kind" = NEW."kind"
            WHERE t."id" = OLD."id";
            END IF;
            RETURN NEW;
        END IF;
        DELETE FROM "public"."persons" AS t WHERE t."id" = OLD."id";
        IF wanted = 1 THEN
            IF NOT doubtful THEN
            INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
            VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind")
    ON CONFLICT DO NOTHING;
            doubtful := NOT FOUND;
            END IF;
            IF doubtful THEN
            BEGIN
            INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
            VALUES (NEW."id",
        NEW."name",
        NEW."city",
        NEW."kind");
            EXCEPTION WHEN integrity_constraint_violation THEN
                DECLARE
                    message text; detail text; schema_name text; table_name text;
                    column_name text; constraint_name text;
                BEGIN
                    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                        schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                        column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                    PERFORM compat.raise_as_legacy(NEW, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"firms_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "firms"]}], "retired": "clients__retired"}', SQLSTATE, message,
                        detail, schema_name, table_name, column_name, constraint_name);
                    RAISE;
                END;
            END;
            END IF;
        ELSE
            RAISE EXCEPTION USING ERRCODE = 'check_violation',
                MESSAGE = 'no table of chosen clients takes this row',
                DETAIL = pg_catalog.format('Failing row contains %s.', NEW),
                HINT = 'Correct the row, or give the mapping a remainder.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = OLD."id") THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = 'could not serialize access to "clients" due to concurrent update',
            HINT = 'The row was changed after the statement read it; retry the transaction.',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."chosen clients__update"() FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__update"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_update" INSTEAD OF UPDATE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."chosen clients__update"();

CREATE OR REPLACE FUNCTION "compat"."chosen clients__delete"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
DECLARE
    doubtful boolean := "compat"."chosen clients__referenced"(OLD);
    t1 "public"."firms"%ROWTYPE;
    t2 "public"."persons"%ROWTYPE;
BEGIN
    SELECT t.* INTO t1 FROM "public"."firms" AS t
    WHERE t."id" = OLD."id" FOR UPDATE;
    IF FOUND THEN
        IF NOT (ROW(t1."id", t1."name", t1."city", t1."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
            IF EXISTS (SELECT FROM "public"."firms" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                HINT = 'The row was changed after the statement read it; retry the transaction.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
        IF doubtful THEN
        BEGIN
        DELETE FROM "public"."firms" AS t WHERE t."id" = OLD."id";
        EXCEPTION WHEN integrity_constraint_violation THEN
            DECLARE
                message text; detail text; schema_name text; table_name text;
                column_name text; constraint_name text;
            BEGIN
                GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                    schema_name = SCHEMA_NAME, table_name = TABLE_NAME,
                    column_name = COLUMN_NAME, constraint_name = CONSTRAINT_NAME;
                PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"firms_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "firms"]}], "retired": "clients__retired"}', SQLSTATE, message,
                    detail, schema_name, table_name, column_name, constraint_name);
                RAISE;
            END;
        END;
        ELSE
        DELETE FROM "public"."firms" AS t WHERE t."id" = OLD."id";
        END IF;
        RETURN OLD;
    END IF;
    SELECT t.* INTO t2 FROM "public"."persons" AS t
    WHERE t."id" = OLD."id" FOR UPDATE;
    IF FOUND THEN
        IF NOT (ROW(t2."id", t2."name", t2."city", t2."kind")::record OPERATOR(pg_catalog.*=) ROW(OLD.*)::record) THEN
            IF EXISTS (SELECT FROM "public"."persons" AS t WHERE t."id" = OLD."id" AND compat.is_own_change(t.xmin)) THEN
                RETURN NULL;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
                MESSAGE = 'could not serialize access to "clients" due to concurrent update',
                HINT = 'The row was changed after the statement read it; retry the transaction.',
                SCHEMA = 'public', TABLE = 'clients';
        END IF;
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
                PERFORM compat.raise_as_legacy(OLD, '{"legacy": ["public", "clients"], "of_legacy": {"clients_kind": {"columns": ["kind"], "name": "clients_kind", "parent": "kinds", "same_values": true}, "clients_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "places": [{"columns": {"city": "city", "id": "id", "kind": "kind", "name": "name"}, "constraints": {"persons_pkey": {"columns": ["id"], "name": "clients_pkey", "parent": null, "same_values": true}}, "name": ["public", "persons"]}], "retired": "clients__retired"}', SQLSTATE, message,
                    detail, schema_name, table_name, column_name, constraint_name);
                RAISE;
            END;
        END;
        ELSE
        DELETE FROM "public"."persons" AS t WHERE t."id" = OLD."id";
        END IF;
        RETURN OLD;
    END IF;
    IF EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = OLD."id") THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
            MESSAGE = 'could not serialize access to "clients" due to concurrent update',
            HINT = 'The row was changed after the statement read it; retry the transaction.',
            SCHEMA = 'public', TABLE = 'clients';
    END IF;
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."chosen clients__delete"() FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__delete"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "compat_delete" INSTEAD OF DELETE ON "public"."clients__compat"
FOR EACH ROW EXECUTE FUNCTION "compat"."chosen clients__delete"();

CREATE OR REPLACE FUNCTION "compat"."chosen clients__reverse"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."clients__retired" AS r WHERE true
        AND NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t
    WHERE t."id" = r."id");
        INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
        SELECT t."id", t."name", t."city", t."kind"
        FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t
        WHERE true
        ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id",
    "name" = EXCLUDED."name",
    "city" = EXCLUDED."city",
    "kind" = EXCLUDED."kind"
        WHERE r."id" IS DISTINCT FROM EXCLUDED."id" OR r."name" IS DISTINCT FROM EXCLUDED."name" OR r."city" IS DISTINCT FROM EXCLUDED."city" OR r."kind" IS DISTINCT FROM EXCLUDED."kind";
    ELSIF TG_ARGV[0] = '0' THEN
        IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND (NEW."id" IS DISTINCT FROM OLD."id") THEN
            DELETE FROM "public"."clients__retired" AS r WHERE r."id" = OLD."id"
            AND NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t
    WHERE t."id" = r."id");
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO "public"."clients__retired" AS r ("id", "name", "city", "kind") OVERRIDING SYSTEM VALUE
            SELECT t."id", t."name", t."city", t."kind"
            FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
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

REVOKE ALL ON FUNCTION "compat"."chosen clients__reverse"() FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__reverse"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.wear('"public"."clients__compat"'::pg_catalog.regclass, compat.looks_of('"public"."clients"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."clients__compat"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."chosen clients__sync"() RETURNS trigger
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

REVOKE ALL ON FUNCTION "compat"."chosen clients__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__sync"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync_chosen clients" AFTER INSERT OR UPDATE OR DELETE
ON "public"."clients" FOR EACH ROW EXECUTE FUNCTION "compat"."chosen clients__sync"();

CREATE TRIGGER "00_compat_sync_truncate_chosen clients" AFTER TRUNCATE
ON "public"."clients" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."chosen clients__sync"();

CREATE TRIGGER "00_compat_early_writes_chosen clients" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_truncate_chosen clients" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_writes_chosen clients" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."firms" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE TRIGGER "00_compat_early_truncate_chosen clients" AFTER TRUNCATE
ON "public"."firms" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."clients"');

CREATE OR REPLACE FUNCTION "compat"."chosen clients__copy"(integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
BEGIN
    INSERT INTO "public"."clients__compat" ("id", "name", "city", "kind")
    SELECT s."id", s."name", s."city", s."kind" FROM "public"."clients" AS s
    WHERE s."id" = $1 AND NOT EXISTS (
        SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t
        WHERE t."id" = s."id");
    RETURN FOUND;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."chosen clients__copy"(integer) FROM PUBLIC;

SELECT compat.own('"compat"."chosen clients__copy"(integer)'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

