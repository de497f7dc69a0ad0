SELECT count(*) FROM "public"."invoices" AS l WHERE NOT EXISTS (SELECT FROM "public"."bills" AS t WHERE t."bill_id" = l."id")
    AND NOT EXISTS (SELECT FROM compat.reject AS r WHERE r.mapping = 'invoices' AND r.key = ARRAY[l."id"::text]);

SELECT t."bill_id" FROM "public"."bills" AS t
WHERE NOT EXISTS (SELECT FROM "public"."invoices" AS l WHERE t."bill_id" = l."id")
ORDER BY t."bill_id" LIMIT 5;

DELETE FROM "public"."bills" AS t
WHERE NOT EXISTS (SELECT FROM "public"."invoices" AS l WHERE t."bill_id" = l."id");

-- customer_id
SELECT l."customer_id"::text, count(*) FROM "public"."invoices" AS l
WHERE l."customer_id" IS NOT NULL AND (SELECT parent."id" FROM "public"."customers_v2" AS parent WHERE parent."legacy_id" = l."customer_id") IS NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;

