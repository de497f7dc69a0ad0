COPY (SELECT l."id", l."cost", l."status", l."done", l."note", l."origin"
FROM "public"."jobs" AS l
WHERE (
cost > 0 -- paid
) AND ROW(l."id") > ROW('7'::integer)
ORDER BY l."id"
) TO STDOUT (FORMAT BINARY);

DROP TABLE IF EXISTS pg_temp.compat_staging, pg_temp.compat_waiting CASCADE;

CREATE TEMP TABLE compat_staging ("compat_row" integer GENERATED ALWAYS AS IDENTITY, "id" integer, "cost" numeric(10,2), "status" integer, "done" boolean, "note" text, "origin" text);

CREATE TEMP VIEW compat_arrived AS SELECT "compat_row", "id", "cost", "status", "done", "note", "origin" FROM pg_temp.compat_staging;

CREATE TEMP TABLE compat_waiting ("id" integer, "cost" numeric(10,2), "status" integer, "done" boolean, "note" text, "origin" text);

COPY pg_temp.compat_staging ("id", "cost", "status", "done", "note", "origin") FROM STDIN (FORMAT BINARY);

DELETE FROM compat.reject AS r USING pg_temp.compat_staging AS l
WHERE r.mapping = 'jobs' AND r.key = ARRAY[l."id"::text]
    AND l."compat_row" BETWEEN 1 AND 9;

WITH gone AS (
    DELETE FROM pg_temp.compat_arrived AS l
    WHERE l."compat_row" BETWEEN 1 AND 9 AND l."note" IS NOT NULL AND NOT EXISTS (SELECT FROM public.notes AS p WHERE p."text" = l."note")
    AND NOT EXISTS (SELECT FROM "public"."tasks" AS t WHERE t."task_id" = l."id")
    RETURNING l."compat_row" AS number, ARRAY[l."id"::text] AS key,
        ARRAY[(l."note")::text] AS values, to_jsonb(l.*) - 'compat_row' AS row_data
)
SELECT key, values, row_data FROM gone ORDER BY number;

WITH lacking AS (
    SELECT l."compat_row" FROM pg_temp.compat_arrived AS l
    WHERE l."compat_row" BETWEEN 1 AND 9 AND (l."cost"::numeric * 100)::integer IS NOT NULL AND NOT EXISTS (SELECT FROM public.tasks AS p WHERE p."task_id" = (l."cost"::numeric * 100)::integer)
    AND NOT EXISTS (SELECT FROM pg_temp.compat_arrived AS p
        WHERE p."compat_row" BETWEEN 1 AND 9 AND p."id" = (l."cost"::numeric * 100)::integer)
    AND NOT EXISTS (SELECT FROM "public"."tasks" AS t WHERE t."task_id" = l."id")
), gone AS (
    DELETE FROM pg_temp.compat_staging WHERE "compat_row" IN (SELECT "compat_row" FROM lacking)
    RETURNING "id", "cost", "status", "done", "note", "origin"
)
INSERT INTO pg_temp.compat_waiting ("id", "cost", "status", "done", "note", "origin") SELECT "id", "cost", "status", "done", "note", "origin" FROM gone;

WITH moved AS (
    INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
    SELECT l."id",
        (l."cost"::numeric * 100)::integer,
        CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END,
        CASE l."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        l."note",
        (upper(note)) FROM pg_temp.compat_arrived AS l WHERE l."compat_row" BETWEEN 1 AND 9
    ON CONFLICT ("task_id") DO NOTHING
    RETURNING t."task_id"::text AS key
), recorded AS (
    INSERT INTO compat.move_batch (mapping, run, number, xid, keys)
    SELECT 'jobs', 2, 3, pg_current_xact_id(), array_agg(key) FROM moved HAVING count(*) > 0
)
SELECT count(*) FROM moved;

WITH rest AS (
    DELETE FROM pg_temp.compat_arrived AS l WHERE l."compat_row" BETWEEN 1 AND 9
        AND NOT EXISTS (SELECT FROM (SELECT u.part AS "task_id" FROM unnest((SELECT keys FROM compat.move_batch WHERE mapping = 'jobs' AND run = 2 AND number = 3)) AS u(part)) AS m WHERE m."task_id" = (l."id")::text)
    RETURNING l."compat_row" AS number, ARRAY[l."id"::text] AS key,
        to_jsonb(l.*) - 'compat_row' AS row_data,
        (SELECT array_remove(ARRAY[CASE WHEN (t."task_id" IS DISTINCT FROM l."id") THEN 'id' END, CASE WHEN (t."cents" IS DISTINCT FROM (l."cost"::numeric * 100)::integer) THEN 'cost' END, CASE WHEN (t."state" IS DISTINCT FROM CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END) THEN 'status' END, CASE WHEN ((t."done_at" IS NOT NULL) IS DISTINCT FROM l."done") AND l."done" IS NOT NULL THEN 'done' END, CASE WHEN (t."remark" IS DISTINCT FROM l."note") THEN 'note' END]::text[], NULL) FROM "public"."tasks" AS t
         WHERE t."task_id" = l."id") AS differences
)
SELECT key, differences, row_data FROM rest
WHERE differences IS DISTINCT FROM '{}' ORDER BY number;

SELECT count(*) FILTER (WHERE t."task_id" IS DISTINCT FROM l."id"), count(*) FILTER (WHERE t."cents" IS DISTINCT FROM (l."cost"::numeric * 100)::integer), count(*) FILTER (WHERE t."state" IS DISTINCT FROM CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END), count(*) FILTER (WHERE t."done_at" IS DISTINCT FROM CASE l."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END), count(*) FILTER (WHERE t."remark" IS DISTINCT FROM l."note")
FROM pg_temp.compat_arrived AS l JOIN "public"."tasks" AS t
    ON t."task_id" = l."id"
WHERE l."compat_row" BETWEEN 1 AND 9;

SELECT count(*) FROM "public"."tasks" AS t
WHERE t."remark" IS NOT NULL AND NOT EXISTS (SELECT FROM public.notes AS p WHERE p."text" = t."remark");

