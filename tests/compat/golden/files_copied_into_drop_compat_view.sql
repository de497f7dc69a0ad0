DROP VIEW "public"."files__compat";

DROP FUNCTION IF EXISTS "compat"."files copied into__insert"();

DROP FUNCTION IF EXISTS "compat"."files copied into__reverse"();

