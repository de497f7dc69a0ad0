LOCK TABLE "public"."invoices" IN SHARE ROW EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."bills"'::pg_catalog.regclass);

SELECT compat.require_policies('"public"."invoices"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."invoices"'::pg_catalog.regclass, '"public"."bills"'::pg_catalog.regclass);

SELECT compat.require_parent('"public"."invoices"'::pg_catalog.regclass, '"public"."customers_v2"'::pg_catalog.regclass, 'id', ARRAY['legacy_id']);

SELECT compat.require_unmoved('"public"."bills"'::pg_catalog.regclass, ARRAY['legacy_customer_id'], 'a lookup that keeps the number');

INSERT INTO compat.mapping (name, document, fingerprint, phase)
VALUES ('invoices', '{"legacy": {"columns": [{"name": "id", "nullable": false, "type": "integer"}, {"name": "customer_id", "type": "integer"}, {"name": "color", "type": "text"}, {"name": "weight", "type": "numeric(8,3)"}], "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "invoices_pkey"}, {"columns": ["customer_id"], "definition": "FOREIGN KEY (customer_id) REFERENCES public.customers(id)", "kind": "foreign_key", "name": "invoices_customer"}], "name": "invoices", "schema": "public"}, "name": "invoices", "rules": [{"legacy": "id", "rule": "column", "target": "bill_id"}, {"keep": "legacy_customer_id", "legacy": "customer_id", "parent": {"name": "customers_v2", "schema": "public"}, "rule": "lookup", "target": "customer_id"}, {"legacy": "color", "path": "color", "rule": "json_field", "target": "details"}, {"legacy": "weight", "null": "null", "path": ["measures", 0], "rule": "json_field", "target": "details"}], "target": {"columns": [{"name": "bill_id", "nullable": false, "type": "integer"}, {"name": "customer_id", "type": "uuid"}, {"name": "legacy_customer_id", "type": "integer"}, {"default": "''{}''::jsonb", "name": "details", "nullable": false, "type": "jsonb"}], "constraints": [{"columns": ["bill_id"], "definition": "PRIMARY KEY (bill_id)", "kind": "primary_key", "name": "bills_pkey"}], "name": "bills", "schema": "public"}, "version": 1}', '28df01953bd8b0f1a602b41ed5cc54af4f88080b994cf3d0628ce3c2fd6fc002', 'expanded');

INSERT INTO compat.event (mapping, step, detail) VALUES ('invoices', 'expand', jsonb_build_object('fingerprint', '28df01953bd8b0f1a602b41ed5cc54af4f88080b994cf3d0628ce3c2fd6fc002'));

CREATE OR REPLACE FUNCTION "compat"."invoices__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."bills" AS t;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."bills" AS t ("bill_id", "customer_id", "legacy_customer_id", "details")
        SELECT n."id",
        COALESCE((SELECT parent."id" FROM "public"."customers_v2" AS parent WHERE parent."legacy_id" = n."customer_id"), compat.refuse_orphan('public', 'invoices', 'customer_id', 'invoices_customer', 'customers', (n."customer_id")::text)::uuid),
        n."customer_id",
        compat.jsonb_put(pg_catalog.jsonb_set_lax(COALESCE('{}'::jsonb, '{}'::jsonb), ARRAY['color'], pg_catalog.to_jsonb((n."color")::text), true, 'delete_key'), '["measures", 0]'::jsonb, pg_catalog.to_jsonb(n."weight"), 'use_json_null')
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."invoices" AS s WHERE s."id" = inserted."id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("bill_id") DO UPDATE SET "bill_id" = EXCLUDED."bill_id", "customer_id" = EXCLUDED."customer_id", "legacy_customer_id" = EXCLUDED."legacy_customer_id", "details" = EXCLUDED."details";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."id", s."customer_id", s."color", s."weight"
        INTO NEW."id", NEW."customer_id", NEW."color", NEW."weight"
        FROM "public"."invoices" AS s WHERE s."id" = NEW."id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."bills" AS t WHERE t."bill_id" = OLD."id" AND pg_catalog.age(t.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."bills" AS t WHERE t."bill_id" = OLD."id"
            AND (pg_catalog.age(t.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."invoices" AS s WHERE s."id" = OLD."id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."bills" AS t SET
            "bill_id" = NEW."id",
        "customer_id" = CASE WHEN NEW."customer_id" IS DISTINCT FROM OLD."customer_id" THEN COALESCE((SELECT parent."id" FROM "public"."customers_v2" AS parent WHERE parent."legacy_id" = NEW."customer_id"), compat.refuse_orphan('public', 'invoices', 'customer_id', 'invoices_customer', 'customers', (NEW."customer_id")::text)::uuid) ELSE t."customer_id" END,
        "legacy_customer_id" = CASE WHEN NEW."customer_id" IS DISTINCT FROM OLD."customer_id" THEN NEW."customer_id" ELSE t."legacy_customer_id" END,
        "details" = CASE WHEN NEW."color" IS DISTINCT FROM OLD."color" OR (ROW(NEW."weight")::record OPERATOR(pg_catalog.*<>) ROW(OLD."weight")::record) THEN compat.jsonb_put(pg_catalog.jsonb_set_lax(COALESCE(NULLIF(t."details", 'null'::jsonb), COALESCE('{}'::jsonb, '{}'::jsonb)), ARRAY['color'], CASE WHEN NEW."color" IS DISTINCT FROM OLD."color" THEN pg_catalog.to_jsonb((NEW."color")::text) END, true, CASE WHEN NEW."color" IS DISTINCT FROM OLD."color" THEN 'delete_key' ELSE 'return_target' END), '["measures", 0]'::jsonb, CASE WHEN (ROW(NEW."weight")::record OPERATOR(pg_catalog.*<>) ROW(OLD."weight")::record) THEN pg_catalog.to_jsonb(NEW."weight") END, CASE WHEN (ROW(NEW."weight")::record OPERATOR(pg_catalog.*<>) ROW(OLD."weight")::record) THEN 'use_json_null' ELSE 'return_target' END) ELSE t."details" END
        WHERE t."bill_id" = OLD."id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."bills" AS t ("bill_id", "customer_id", "legacy_customer_id", "details")
    VALUES (NEW."id",
        COALESCE((SELECT parent."id" FROM "public"."customers_v2" AS parent WHERE parent."legacy_id" = NEW."customer_id"), compat.refuse_orphan('public', 'invoices', 'customer_id', 'invoices_customer', 'customers', (NEW."customer_id")::text)::uuid),
        NEW."customer_id",
        compat.jsonb_put(pg_catalog.jsonb_set_lax(COALESCE('{}'::jsonb, '{}'::jsonb), ARRAY['color'], pg_catalog.to_jsonb((NEW."color")::text), true, 'delete_key'), '["measures", 0]'::jsonb, pg_catalog.to_jsonb(NEW."weight"), 'use_json_null'))
    ON CONFLICT ("bill_id") DO UPDATE SET "bill_id" = EXCLUDED."bill_id", "customer_id" = EXCLUDED."customer_id", "legacy_customer_id" = EXCLUDED."legacy_customer_id", "details" = EXCLUDED."details";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."invoices__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."invoices__sync"()'::pg_catalog.regprocedure, '"public"."invoices"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync" AFTER UPDATE OR DELETE
ON "public"."invoices" FOR EACH ROW EXECUTE FUNCTION "compat"."invoices__sync"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."invoices"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."bills"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."invoices" FOR EACH ROW EXECUTE FUNCTION "compat"."invoices__sync"();
    ELSE
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."invoices" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."invoices__sync"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_sync_truncate" AFTER TRUNCATE
ON "public"."invoices" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."invoices__sync"();

CREATE TRIGGER "00_compat_early_writes" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."bills" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."invoices"');

CREATE TRIGGER "00_compat_early_truncate" AFTER TRUNCATE
ON "public"."bills" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."invoices"');

CREATE OR REPLACE FUNCTION "compat"."invoices__lookup_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    SELECT parent."legacy_id" INTO NEW."legacy_customer_id"
    FROM "public"."customers_v2" AS parent
    WHERE parent."id" = NEW."customer_id";
    IF NEW."legacy_customer_id" IS NULL AND NEW."customer_id" IS NOT NULL THEN
        IF FOUND THEN
            PERFORM compat.refuse('public.bills.customer_id: the row of public.customers_v2 has no legacy_id, by which legacy clients know it', (NEW."customer_id")::text, NULL::text);
        ELSE
            PERFORM compat.refuse_orphan('public', 'bills', 'customer_id', NULL, 'customers_v2', (NEW."customer_id")::text);
        END IF;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."invoices__lookup_1"() FROM PUBLIC;

SELECT compat.own('"compat"."invoices__lookup_1"()'::pg_catalog.regprocedure, '"public"."invoices"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."invoices__follow_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.to_regclass('"public"."invoices__retired"') IS NOT NULL
    AND EXISTS (SELECT FROM "public"."bills" AS t WHERE t."customer_id" = OLD."id") THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = 'update or delete on table "customers" violates foreign key constraint "invoices_customer" on table "invoices"',
            DETAIL = 'Key (id)=(' || OLD."legacy_id" || ') is still referenced from table "invoices".',
            SCHEMA = 'public', TABLE = 'invoices',
            CONSTRAINT = 'invoices_customer';
    END IF;
    UPDATE "public"."bills" AS t SET "legacy_customer_id" = NEW."legacy_id"
    WHERE t."customer_id" = OLD."id";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."invoices__follow_1"() FROM PUBLIC;

SELECT compat.own('"compat"."invoices__follow_1"()'::pg_catalog.regprocedure, '"public"."invoices"'::pg_catalog.regclass);

CREATE TRIGGER "zz_compat_invoices__lookup_1_insert" BEFORE INSERT
ON "public"."bills" FOR EACH ROW
WHEN (NEW."legacy_customer_id" IS NULL AND NEW."customer_id" IS NOT NULL)
EXECUTE FUNCTION "compat"."invoices__lookup_1"();

CREATE TRIGGER "zz_compat_invoices__lookup_1_update" BEFORE UPDATE
ON "public"."bills" FOR EACH ROW
WHEN (NEW."customer_id" IS DISTINCT FROM OLD."customer_id"
      AND NEW."legacy_customer_id" IS NOT DISTINCT FROM OLD."legacy_customer_id")
EXECUTE FUNCTION "compat"."invoices__lookup_1"();

CREATE TRIGGER "01_compat_invoices__follow_1" AFTER UPDATE
ON "public"."customers_v2" FOR EACH ROW
WHEN (NEW."legacy_id" IS DISTINCT FROM OLD."legacy_id")
EXECUTE FUNCTION "compat"."invoices__follow_1"();

