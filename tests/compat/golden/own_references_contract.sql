SELECT compat.require_phase('people', 'cutover');

SELECT compat.require_above('people', ARRAY[]::text[]);

LOCK TABLE "public"."people" IN ACCESS EXCLUSIVE MODE;

UPDATE compat.mapping SET looks = compat.looks_of('"public"."people"'::pg_catalog.regclass) || compat.foreign_keys_of('"public"."people__retired"'::pg_catalog.regclass) WHERE name = 'people';

SELECT compat.finish_foreign_key_twins('people');

DROP TRIGGER "00_compat_reverse" ON "public"."persons";

DROP TRIGGER "00_compat_reverse_insert" ON "public"."persons";

DROP TRIGGER "00_compat_reverse_truncate" ON "public"."persons";

SELECT compat.look_at_keys('"public"."persons"'::pg_catalog.regclass, ARRAY['persons_boss'], 'NOT DEFERRABLE');

DROP TRIGGER "zz_compat_people__lookup_1_insert" ON "public"."persons";

DROP TRIGGER "zz_compat_people__lookup_1_update" ON "public"."persons";

DROP TRIGGER "01_compat_people__follow_1" ON "public"."persons";

DROP FUNCTION IF EXISTS "compat"."people__lookup_1"();

DROP FUNCTION IF EXISTS "compat"."people__follow_1"();

DROP INDEX "public"."zz_compat_people__waiting_1";

DROP VIEW "public"."people";

DROP FUNCTION IF EXISTS "compat"."people__insert"();

DROP FUNCTION IF EXISTS "compat"."people__update"();

DROP FUNCTION IF EXISTS "compat"."people__delete"();

DROP FUNCTION IF EXISTS "compat"."people__referenced"(anyelement);

DROP FUNCTION IF EXISTS "compat"."people__arrive_1"();

DROP FUNCTION IF EXISTS "compat"."people__defer_own"();

DROP FUNCTION IF EXISTS "compat"."people__check_own"();

DROP FUNCTION IF EXISTS "compat"."people__reverse"();

DROP FUNCTION IF EXISTS "compat"."people__sync"();

DROP FUNCTION IF EXISTS "compat"."people__settle_1"();

DROP TABLE "public"."people__retired";

UPDATE compat.mapping SET phase = 'contracted', changed_at = clock_timestamp() WHERE name = 'people';

INSERT INTO compat.event (mapping, step, detail) VALUES ('people', 'contract', jsonb_build_object('fingerprint', '740b7af2835720bbff5345aa635dac9beb1d5563bea61c88f05c210050c8300a'));

