DROP VIEW "public"."jobs__compat";

DROP FUNCTION IF EXISTS "compat"."jobs__insert"();

DROP FUNCTION IF EXISTS "compat"."jobs__update"();

DROP FUNCTION IF EXISTS "compat"."jobs__delete"();

DROP FUNCTION IF EXISTS "compat"."jobs__referenced"(anyelement);

DROP FUNCTION IF EXISTS "compat"."jobs__reverse"();

