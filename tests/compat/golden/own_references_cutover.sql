SELECT CASE WHEN EXISTS (SELECT FROM "public"."people") THEN compat.require_phase('people', 'copied') ELSE compat.require_phase('people', 'expanded', 'copying', 'copied') END;

SELECT compat.require_policies('"public"."people"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."people"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass);

SELECT compat.give_view('"public"."people__compat"'::pg_catalog.regclass, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__sync"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__settle_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__lookup_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__follow_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.define_references('"compat"."people__referenced"', 'people', '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__insert"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__update"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__delete"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__arrive_1"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__defer_own"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__check_own"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.own('"compat"."people__reverse"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass);

SELECT compat.lock_dependents('"public"."people"'::pg_catalog.regclass);

SELECT compat.lock_referencing('"public"."people"'::pg_catalog.regclass, 'SHARE ROW EXCLUSIVE');

LOCK TABLE "public"."people" IN ACCESS EXCLUSIVE MODE;

SELECT compat.hurry();

LOCK TABLE "public"."people__compat" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_settled_beneath('people');

SELECT compat.require_beneath('people', ARRAY[]::text[]), compat.require_above('people', ARRAY[]::text[]);

SELECT compat.put_beneath('people');

DROP TRIGGER "00_compat_sync" ON "public"."people";

DROP TRIGGER "00_compat_sync_insert" ON "public"."people";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."people";

DROP TRIGGER "01_compat_people__settle_1_insert" ON "public"."people";

DROP TRIGGER "01_compat_people__settle_1_update" ON "public"."people";

DROP TRIGGER "00_compat_early_writes" ON "public"."persons";

DROP TRIGGER "00_compat_early_truncate" ON "public"."persons";

SELECT compat.look_at_keys('"public"."persons"'::pg_catalog.regclass, ARRAY['persons_boss'], 'DEFERRABLE INITIALLY IMMEDIATE');

WITH due AS MATERIALIZED (
    SELECT t."number", parent."id" AS parent_key
    FROM "public"."persons" AS t JOIN "public"."persons" AS parent
    ON parent."number" = t."boss_number"
    WHERE t."boss_id" IS NULL AND t."boss_number" IS NOT NULL FOR NO KEY UPDATE OF t
)
UPDATE "public"."persons" AS t SET "boss_id" = due.parent_key
FROM due WHERE t."number" = due."number";

SELECT compat.require_settled_references('"public"."persons"'::pg_catalog.regclass, 'boss_id', 'boss_number');

SELECT compat.note_dependents('people', '"public"."people"'::pg_catalog.regclass);

ALTER TABLE "public"."people" RENAME TO "people__retired";

ALTER VIEW "public"."people__compat" RENAME TO "people";

SELECT compat.follow_name('people');

UPDATE compat.mapping SET looks = compat.looks_of('"public"."people__retired"'::pg_catalog.regclass) WHERE name = 'people';

SELECT compat.wear('"public"."people"'::pg_catalog.regclass, compat.looks_of('"public"."people__retired"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."people__retired"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_reverse" AFTER UPDATE OR DELETE
ON "public"."persons" FOR EACH ROW EXECUTE FUNCTION "compat"."people__reverse"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."persons"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."people__retired"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."persons" FOR EACH ROW EXECUTE FUNCTION "compat"."people__reverse"();
    ELSE
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."persons" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__reverse"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_reverse_truncate" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."people__reverse"();

SELECT compat.guard_retired('"public"."people__retired"'::pg_catalog.regclass, '"compat"."people__reverse"()'::pg_catalog.regprocedure, '"public"."people"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass);

SELECT compat.defer_foreign_keys('"public"."people__retired"'::pg_catalog.regclass, ARRAY['people_boss']::text[], true);

SELECT compat.move_triggers('"public"."people__retired"'::pg_catalog.regclass, '"public"."people"'::pg_catalog.regclass);

SELECT compat.add_foreign_key_twins('people', '"public"."people__retired"'::pg_catalog.regclass, ARRAY['id', 'boss']::text[], '"public"."persons"'::pg_catalog.regclass, ARRAY['number', 'boss_number']::text[]);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'people';

INSERT INTO compat.event (mapping, step, detail) VALUES ('people', 'cutover', jsonb_build_object('fingerprint', '740b7af2835720bbff5345aa635dac9beb1d5563bea61c88f05c210050c8300a'));

