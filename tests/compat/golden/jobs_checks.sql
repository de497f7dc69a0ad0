SELECT count(*) FROM "public"."jobs" AS l WHERE NOT EXISTS (SELECT FROM "public"."tasks" AS t WHERE t."task_id" = l."id")
    AND NOT EXISTS (SELECT FROM compat.reject AS r WHERE r.mapping = 'jobs' AND r.key = ARRAY[l."id"::text]);

SELECT t."task_id" FROM "public"."tasks" AS t
WHERE NOT EXISTS (SELECT FROM "public"."jobs" AS l WHERE t."task_id" = l."id")
ORDER BY t."task_id" LIMIT 5;

DELETE FROM "public"."tasks" AS t
WHERE NOT EXISTS (SELECT FROM "public"."jobs" AS l WHERE t."task_id" = l."id");

-- cost
SELECT l."cost"::text, count(*) FROM "public"."jobs" AS l
WHERE pg_catalog.round((l."cost"::numeric * 100)) NOT BETWEEN -2147483648 AND 2147483647 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;

-- status
SELECT l."status"::text, count(*) FROM "public"."jobs" AS l
WHERE l."status" NOT IN (1, 2) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;

-- origin
SELECT count(*) FROM "public"."jobs" AS l WHERE l."origin" IS DISTINCT FROM 'shop'::text;

