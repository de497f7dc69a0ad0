SELECT CASE WHEN EXISTS (SELECT FROM "public"."files") THEN compat.require_phase('files', 'copied') ELSE compat.require_phase('files', 'expanded', 'copying', 'copied') END;

SELECT compat.require_policies('"public"."files"'::pg_catalog.regclass, NULL::jsonb);

SELECT compat.require_alike('"public"."files"'::pg_catalog.regclass, '"public"."documents"'::pg_catalog.regclass);

SELECT compat.give_view('"public"."files__compat"'::pg_catalog.regclass, '"public"."files"'::pg_catalog.regclass);

SELECT compat.own('"compat"."files__sync"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

SELECT compat.own('"compat"."files__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass);

SELECT compat.lock_dependents('"public"."files"'::pg_catalog.regclass);

SELECT compat.lock_referencing('"public"."files"'::pg_catalog.regclass, 'SHARE ROW EXCLUSIVE');

LOCK TABLE "public"."files" IN ACCESS EXCLUSIVE MODE;

SELECT compat.hurry();

LOCK TABLE "public"."files__compat" IN ACCESS EXCLUSIVE MODE;

SELECT compat.require_settled_beneath('files');

SELECT compat.require_beneath('files', ARRAY[]::text[]), compat.require_above('files', ARRAY[]::text[]);

SELECT compat.put_beneath('files');

DROP TRIGGER "00_compat_sync" ON "public"."files";

DROP TRIGGER "00_compat_sync_insert" ON "public"."files";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."files";

DROP TRIGGER "00_compat_early_writes" ON "public"."documents";

DROP TRIGGER "00_compat_early_truncate" ON "public"."documents";

SELECT compat.note_dependents('files', '"public"."files"'::pg_catalog.regclass);

ALTER TABLE "public"."files" RENAME TO "files__retired";

ALTER VIEW "public"."files__compat" RENAME TO "files";

SELECT compat.follow_name('files');

UPDATE compat.mapping SET looks = compat.looks_of('"public"."files__retired"'::pg_catalog.regclass) WHERE name = 'files';

SELECT compat.wear('"public"."files"'::pg_catalog.regclass, compat.looks_of('"public"."files__retired"'::pg_catalog.regclass));

SELECT compat.withdraw('"public"."files__retired"'::pg_catalog.regclass);

CREATE TRIGGER "00_compat_reverse" AFTER UPDATE OR DELETE
ON "public"."documents" FOR EACH ROW EXECUTE FUNCTION "compat"."files__reverse"();

DO $compat$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_class
               WHERE oid = '"public"."documents"'::pg_catalog.regclass AND (relkind = 'p' OR relispartition))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint
               WHERE confrelid = '"public"."files__retired"'::pg_catalog.regclass AND contype = 'f') THEN
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."documents" FOR EACH ROW EXECUTE FUNCTION "compat"."files__reverse"();
    ELSE
        CREATE TRIGGER "00_compat_reverse_insert" AFTER INSERT
        ON "public"."documents" REFERENCING NEW TABLE AS inserted
        FOR EACH STATEMENT EXECUTE FUNCTION "compat"."files__reverse"();
    END IF;
END
$compat$;

CREATE TRIGGER "00_compat_reverse_truncate" AFTER TRUNCATE
ON "public"."documents" FOR EACH STATEMENT EXECUTE FUNCTION "compat"."files__reverse"();

SELECT compat.guard_retired('"public"."files__retired"'::pg_catalog.regclass, '"compat"."files__reverse"()'::pg_catalog.regprocedure, '"public"."files"'::pg_catalog.regclass, '"public"."documents"'::pg_catalog.regclass);

SELECT compat.move_triggers('"public"."files__retired"'::pg_catalog.regclass, '"public"."files"'::pg_catalog.regclass);

SELECT compat.add_foreign_key_twins('files', '"public"."files__retired"'::pg_catalog.regclass, ARRAY['id', 'note']::text[], '"public"."documents"'::pg_catalog.regclass, ARRAY['task_id', 'remark']::text[]);

UPDATE compat.mapping SET phase = 'cutover', changed_at = clock_timestamp() WHERE name = 'files';

INSERT INTO compat.event (mapping, step, detail) VALUES ('files', 'cutover', jsonb_build_object('fingerprint', '20c7b693d6774addc2edfbf6f4c1fff359924cbeb3bc895cbfd0a8dc65bac794'));

