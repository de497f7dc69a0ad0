LOCK TABLE "public"."people" IN SHARE ROW EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."persons"'::pg_catalog.regclass);

SELECT compat.require_policies('"public"."people"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."people"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass);

SELECT compat.require_parent('"public"."people"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass, 'id', ARRAY['number']);

SELECT compat.require_unmoved('"public"."persons"'::pg_catalog.regclass, ARRAY['boss_number'], 'a lookup that keeps the number');

INSERT INTO compat.mapping (name, document, fingerprint, phase)
VALUES ('people', '{"legacy": {"columns": [{"name": "id", "nullable": false, "type": "integer"}, {"name": "boss", "type": "integer"}], "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "people_pkey"}, {"columns": ["boss"], "definition": "FOREIGN KEY (boss) REFERENCES public.people(id)", "kind": "foreign_key", "name": "people_boss"}], "name": "people", "schema": "public"}, "name": "people", "rules": [{"legacy": "id", "rule": "column", "target": "number"}, {"keep": "boss_number", "legacy": "boss", "parent": {"legacy": "number", "name": "persons", "schema": "public"}, "rule": "lookup", "target": "boss_id"}], "target": {"columns": [{"default": "gen_random_uuid()", "name": "id", "nullable": false, "type": "uuid"}, {"name": "number", "nullable": false, "type": "integer"}, {"name": "boss_id", "type": "uuid"}, {"name": "boss_number", "type": "integer"}], "constraints": [{"columns": ["id"], "definition": "PRIMARY KEY (id)", "kind": "primary_key", "name": "persons_pkey"}, {"columns": ["number"], "definition": "UNIQUE (number)", "kind": "unique", "name": "persons_number"}, {"columns": ["boss_id"], "definition": "FOREIGN KEY (boss_id) REFERENCES public.persons(id)", "kind": "foreign_key", "name": "persons_boss"}], "name": "persons", "schema": "public"}, "version": 1}', '740b7af2835720bbff5345aa635dac9beb1d5563bea61c88f05c210050c8300a', 'expanded');

INSERT INTO compat.event (mapping, step, detail) VALUES ('people', 'expand', jsonb_build_object('fingerprint', '740b7af2835720bbff5345aa635dac9beb1d5563bea61c88f05c210050c8300a'));

SELECT compat.look_at_keys('"public"."persons"'::pg_catalog.regclass, ARRAY['persons_boss'], 'DEFERRABLE INITIALLY DEFERRED');

CREATE OR REPLACE FUNCTION "compat"."people__sync"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM "public"."persons" AS t;
        RETURN NULL;
    ELSIF TG_LEVEL = 'STATEMENT' THEN
        INSERT INTO "public"."persons" AS t ("number", "boss_id", "boss_number")
        SELECT n."id",
        (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = n."boss"),
        n."boss"
        FROM (SELECT s.* FROM inserted CROSS JOIN LATERAL (
            SELECT * FROM "public"."people" AS s WHERE s."id" = inserted."id" AND pg_catalog.age(s.xmin) <= 0 OFFSET 0
        ) AS s) AS n
        ON CONFLICT ("number") DO UPDATE SET "number" = EXCLUDED."number", "boss_id" = EXCLUDED."boss_id", "boss_number" = EXCLUDED."boss_number";
        RETURN NULL;
    ELSIF TG_OP <> 'DELETE' THEN
        SELECT s."id", s."boss"
        INTO NEW."id", NEW."boss"
        FROM "public"."people" AS s WHERE s."id" = NEW."id" AND pg_catalog.age(s.xmin) <= 0;
    END IF;
    IF NOT FOUND THEN
        -- Gone, or under another key by now; unless this transaction has put it there since. Of
        -- an older row its age says that it has not: most deletions need no second look.
        DELETE FROM "public"."persons" AS t WHERE t."number" = OLD."id" AND pg_catalog.age(t.xmin) > 0;
        IF NOT FOUND THEN
            DELETE FROM "public"."persons" AS t WHERE t."number" = OLD."id"
            AND (pg_catalog.age(t.xmin) > 0
                 OR NOT EXISTS (SELECT FROM "public"."people" AS s WHERE s."id" = OLD."id" AND pg_catalog.age(s.xmin) <= 0));
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE "public"."persons" AS t SET
            "number" = NEW."id",
        "boss_id" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss") ELSE t."boss_id" END,
        "boss_number" = CASE WHEN NEW."boss" IS DISTINCT FROM OLD."boss" THEN NEW."boss" ELSE t."boss_number" END
        WHERE t."number" = OLD."id";
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO "public"."persons" AS t ("number", "boss_id", "boss_number")
    VALUES (NEW."id",
        (SELECT parent."id" FROM "public"."persons" AS parent WHERE parent."number" = NEW."boss"),
        NEW."boss")
    ON CONFLICT ("number") DO UPDATE SET "number" = EXCLUDED."number", "boss_id" = EXCLUDED."boss_id", "boss_number" = EXCLUDED."boss_number";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__sync"() FROM PUBLIC;

SELECT compat.own('"compat"."people__sync"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."people__settle_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    UPDATE "public"."persons" AS t SET "boss_id" = parent."id"
    FROM inserted, "public"."persons" AS parent
    WHERE t."number" = inserted."id"
    AND t."boss_id" IS NULL AND t."boss_number" IS NOT NULL AND parent."number" = t."boss_number";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__settle_1"() FROM PUBLIC;

SELECT compat.own('"compat"."people__settle_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_sync" AFTER UPDATE OR DELETE
ON "public"."people" FOR EACH ROW EXECUTE FUNCTION "compat"."people__sync"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."people"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."persons"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."people" FOR EACH ROW EXECUTE FUNCTION "compat"."people__sync"();
    ELSE
        CREATE TRIGGER "00_compat_sync_insert" AFTER INSERT
        ON "public"."people" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__sync"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_sync_truncate" AFTER TRUNCATE
ON "public"."people" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__sync"();

CREATE TRIGGER "01_compat_people__settle_1_insert" AFTER INSERT
ON "public"."people" REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__settle_1"();

CREATE TRIGGER "01_compat_people__settle_1_update" AFTER UPDATE
ON "public"."people" REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__settle_1"();

CREATE TRIGGER "00_compat_early_writes" BEFORE INSERT OR UPDATE OR DELETE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."people"');

CREATE TRIGGER "00_compat_early_truncate" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT
WHEN (pg_catalog.pg_trigger_depth() = 0
      AND pg_catalog.current_setting('compat.early_writes', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION compat.refuse_early_write('"public"."people"');

CREATE INDEX "zz_compat_people__waiting_1" ON "public"."persons" ("boss_number")
WHERE "boss_id" IS NULL AND "boss_number" IS NOT NULL;

COMMENT ON INDEX "public"."zz_compat_people__waiting_1" IS 'rows that wait for their parents';

CREATE OR REPLACE FUNCTION "compat"."people__lookup_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    SELECT parent."number" INTO NEW."boss_number"
    FROM "public"."persons" AS parent
    WHERE parent."id" = NEW."boss_id";
    IF NEW."boss_number" IS NULL AND NEW."boss_id" IS NOT NULL THEN
        IF FOUND THEN
            PERFORM compat.refuse('public.persons.boss_id: the row of public.persons has no number, by which legacy clients know it', (NEW."boss_id")::text, NULL::text);
        ELSE
            PERFORM compat.refuse_orphan('public', 'persons', 'boss_id', 'persons_boss', 'persons', (NEW."boss_id")::text);
        END IF;
    END IF;
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__lookup_1"() FROM PUBLIC;

SELECT compat.own('"compat"."people__lookup_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE OR REPLACE FUNCTION "compat"."people__follow_1"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    IF pg_catalog.to_regclass('"public"."people__retired"') IS NOT NULL
    AND EXISTS (SELECT FROM "public"."persons" AS t WHERE t."boss_id" = OLD."id") THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = 'update or delete on table "people" violates foreign key constraint "people_boss" on table "people"',
            DETAIL = 'Key (id)=(' || OLD."number" || ') is still referenced from table "people".',
            SCHEMA = 'public', TABLE = 'people',
            CONSTRAINT = 'people_boss';
    END IF;
    UPDATE "public"."persons" AS t SET "boss_number" = NEW."number"
    WHERE t."boss_id" = OLD."id";
    RETURN NULL;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."people__follow_1"() FROM PUBLIC;

SELECT compat.own('"compat"."people__follow_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

CREATE TRIGGER "zz_compat_people__lookup_1_insert" BEFORE INSERT
ON "public"."persons" FOR EACH ROW
WHEN (NEW."boss_number" IS NULL AND NEW."boss_id" IS NOT NULL)
EXECUTE FUNCTION "compat"."people__lookup_1"();

CREATE TRIGGER "zz_compat_people__lookup_1_update" BEFORE UPDATE
ON "public"."persons" FOR EACH ROW
WHEN (NEW."boss_id" IS DISTINCT FROM OLD."boss_id"
      AND NEW."boss_number" IS NOT DISTINCT FROM OLD."boss_number")
EXECUTE FUNCTION "compat"."people__lookup_1"();

CREATE TRIGGER "01_compat_people__follow_1" AFTER UPDATE
ON "public"."persons" FOR EACH ROW
WHEN (NEW."number" IS DISTINCT FROM OLD."number")
EXECUTE FUNCTION "compat"."people__follow_1"();

