DROP VIEW "public"."jobs__compat";

DROP FUNCTION IF EXISTS "compat"."jobs copied into__insert"();

DROP FUNCTION IF EXISTS "compat"."jobs copied into__reverse"();

