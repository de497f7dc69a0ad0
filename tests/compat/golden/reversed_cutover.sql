SELECT CASE WHEN EXISTS (SELECT FROM "public"."jobs") THEN compat.require_phase('reversed jobs', 'copied') ELSE compat.require_phase('reversed jobs', 'expanded', 'copying', 'copied') END;

LOCK TABLE "public"."tasks" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_empty('"public"."tasks"'::pg_catalog.regclass);

SELECT compat.require_unused('"public"."tasks"'::pg_catalog.regclass);

ALTER TABLE "public"."tasks" RENAME TO "tasks__aside";

ALTER VIEW "public"."tasks__compat" RENAME TO "tasks";

SELECT compat.wear('"public"."tasks"'::pg_catalog.regclass, compat.looks_of('"public"."tasks__aside"'::pg_catalog.regclass) || jsonb_build_object('owner', (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = '"public"."jobs"'::pg_catalog.regclass))), compat.withdraw('"public"."tasks__aside"'::pg_catalog.regclass);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'reversed jobs';

INSERT INTO compat.event (mapping, step, detail) VALUES ('reversed jobs', 'cutover', jsonb_build_object('fingerprint', '3fd45c60fb07f1501e2dd829367c85714a24095bea936ed4a714974a0bb39de1'));

