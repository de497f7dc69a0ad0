SELECT CASE WHEN EXISTS (SELECT FROM "public"."clients") THEN compat.require_phase('tagged clients', 'copied') ELSE compat.require_phase('tagged clients', 'expanded', 'copying', 'copied') END;

SELECT compat.require_policies('"public"."clients"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."clients"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass);

SELECT compat.give_view('"public"."clients__compat"'::pg_catalog.regclass, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.define_references('"compat"."tagged clients__referenced"', 'tagged clients', '"public"."clients"'::pg_catalog.regclass);

SELECT compat.own('"compat"."tagged clients__insert"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.own('"compat"."tagged clients__update"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.own('"compat"."tagged clients__delete"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.own('"compat"."tagged clients__reverse"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.own('"compat"."tagged clients__sync"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.lock_dependents('"public"."clients"'::pg_catalog.regclass);

SELECT compat.lock_referencing('"public"."clients"'::pg_catalog.regclass, 'SHARE ROW EXCLUSIVE');

LOCK TABLE "public"."clients" IN ACCESS EXCLUSIVE MODE;

SELECT compat.hurry();

LOCK TABLE "public"."clients__compat" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_settled_beneath('tagged clients');

SELECT compat.require_beneath('tagged clients', ARRAY[]::text[]), compat.require_above('tagged clients', ARRAY[]::text[]);

SELECT compat.put_beneath('tagged clients');

DROP TRIGGER "00_compat_sync_tagged clients" ON "public"."clients";

DROP TRIGGER "00_compat_sync_truncate_tagged clients" ON "public"."clients";

DROP TRIGGER "00_compat_early_writes_insert_tagged clients" ON "public"."persons";

DROP TRIGGER "00_compat_early_writes_update_tagged clients" ON "public"."persons";

DROP TRIGGER "00_compat_early_writes_delete_tagged clients" ON "public"."persons";

DROP TRIGGER "00_compat_early_truncate_tagged clients" ON "public"."persons";

SELECT compat.note_dependents('tagged clients', '"public"."clients"'::pg_catalog.regclass);

ALTER TABLE "public"."clients" RENAME TO "clients__retired";

ALTER VIEW "public"."clients__compat" RENAME TO "clients";

SELECT compat.follow_name('tagged clients');

UPDATE compat.mapping SET looks = compat.looks_of('"public"."clients__retired"'::pg_catalog.regclass) WHERE name = 'tagged clients';

SELECT compat.wear('"public"."clients"'::pg_catalog.regclass, compat.looks_of('"public"."clients__retired"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."clients__retired"'::pg_catalog.regclass);

ALTER SEQUENCE "public"."clients_id_seq" OWNED BY "public"."clients"."id";

CREATE OR REPLACE FUNCTION "compat"."tagged clients__number"() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $compat$
#variable_conflict use_column
BEGIN
    NEW."id" := coalesce(NEW."id", nextval('"public"."clients_id_seq"'::pg_catalog.regclass));
    RETURN NEW;
END
$compat$;

REVOKE ALL ON FUNCTION "compat"."tagged clients__number"() FROM PUBLIC;

SELECT compat.own('"compat"."tagged clients__number"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass);

CREATE OR REPLACE TRIGGER "00_compat_number_tagged clients" BEFORE INSERT
ON "public"."persons" FOR EACH ROW WHEN (NEW."what" = 'client')
EXECUTE FUNCTION "compat"."tagged clients__number"();

CREATE TRIGGER "00_compat_reverse_tagged clients" AFTER INSERT OR UPDATE OR DELETE
ON "public"."persons" FOR EACH ROW EXECUTE FUNCTION "compat"."tagged clients__reverse"('0');

CREATE TRIGGER "00_compat_reverse_truncate_tagged clients" AFTER TRUNCATE
ON "public"."persons" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."tagged clients__reverse"('0');

SELECT compat.guard_retired('"public"."clients__retired"'::pg_catalog.regclass, '"compat"."tagged clients__reverse"()'::pg_catalog.regprocedure, '"public"."clients"'::pg_catalog.regclass, '"public"."persons"'::pg_catalog.regclass);

SELECT compat.move_triggers('"public"."clients__retired"'::pg_catalog.regclass, '"public"."clients"'::pg_catalog.regclass);

SELECT compat.add_foreign_key_twins('tagged clients', '"public"."clients__retired"'::pg_catalog.regclass, ARRAY['id', 'name', 'city', 'kind']::text[], '"public"."persons"'::pg_catalog.regclass, ARRAY['id', 'name', 'city', 'kind']::text[]);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'tagged clients';

INSERT INTO compat.event (mapping, step, detail) VALUES ('tagged clients', 'cutover', jsonb_build_object('fingerprint', '1f17c8a85508c37f6a51b32dbd1b692152b24f3597972927f4b550880cb43319'));

