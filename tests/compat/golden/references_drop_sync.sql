SELECT compat.require_phase('invoices', 'expanded', 'copying', 'copied');

SELECT compat.require_no_children('invoices', '"public"."bills"'::pg_catalog.regclass, ARRAY['bill_id'], NULL);

DROP TRIGGER "00_compat_sync" ON "public"."invoices";

DROP TRIGGER "00_compat_sync_insert" ON "public"."invoices";

DROP TRIGGER "00_compat_sync_truncate" ON "public"."invoices";

DROP TRIGGER "00_compat_early_writes" ON "public"."bills";

DROP TRIGGER "00_compat_early_truncate" ON "public"."bills";

DROP FUNCTION IF EXISTS "compat"."invoices__sync"();

DROP TRIGGER "zz_compat_invoices__lookup_1_insert" ON "public"."bills";

DROP TRIGGER "zz_compat_invoices__lookup_1_update" ON "public"."bills";

DROP TRIGGER "01_compat_invoices__follow_1" ON "public"."customers_v2";

DROP FUNCTION IF EXISTS "compat"."invoices__lookup_1"();

DROP FUNCTION IF EXISTS "compat"."invoices__follow_1"();

SELECT compat.build_deferred_indexes('invoices');

DELETE FROM compat.reject WHERE mapping = 'invoices';

DELETE FROM compat.mapping WHERE name = 'invoices';

INSERT INTO compat.event (mapping, step, detail) VALUES ('invoices', 'unexpand', jsonb_build_object('fingerprint', '28df01953bd8b0f1a602b41ed5cc54af4f88080b994cf3d0628ce3c2fd6fc002'));

