WITH sample AS (
    SELECT ARRAY[l."id"::text] AS key, count(*) OVER () AS size,
           row_number() OVER (ORDER BY l."id") AS place
    FROM "public"."jobs" AS l TABLESAMPLE SYSTEM (%(percent)s)
)
SELECT key FROM sample
WHERE place * %(ranges)s / size > (place - 1) * %(ranges)s / size AND place < size
ORDER BY place;

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."jobs" AS l CROSS JOIN LATERAL (SELECT l."id" OFFSET 0) AS found ("key1")
    WHERE (%(after)s::text[] IS NULL OR ROW(l."id") > ROW((%(after)s::text[])[1]::integer)) AND (%(upto)s::text[] IS NULL OR ROW(l."id") <= ROW((%(upto)s::text[])[1]::integer)) AND ROW(l."id") <= ROW(found."key1")
    ORDER BY l."id" LIMIT %(size)s FOR SHARE OF l SKIP LOCKED
), copied AS (
    INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
    SELECT l."id",
        (l."cost"::numeric * 100)::integer,
        CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END,
        CASE l."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        l."note",
        (upper(note)) FROM seen AS l
    ON CONFLICT ("task_id") DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."jobs" AS l
    WHERE NOT EXISTS (SELECT FROM "public"."tasks" AS t WHERE t."task_id" = l."id")
    AND NOT EXISTS (SELECT FROM compat.reject AS r WHERE r.mapping = 'jobs' AND r.key = ARRAY[l."id"::text])
    LIMIT %(size)s FOR SHARE OF l
), copied AS (
    INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
    SELECT l."id",
        (l."cost"::numeric * 100)::integer,
        CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END,
        CASE l."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        l."note",
        (upper(note)) FROM seen AS l
    ON CONFLICT ("task_id") DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."jobs" AS l
    WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
    FOR SHARE OF l
), copied AS (
    INSERT INTO "public"."tasks" AS t ("task_id", "cents", "state", "done_at", "remark", "title")
    SELECT l."id",
        (l."cost"::numeric * 100)::integer,
        CASE l."status" WHEN 1 THEN 'waiting'::text WHEN 2 THEN 'running'::text ELSE compat.refuse('public.jobs.status: no counterpart', (l."status")::text, NULL::text)::text END,
        CASE l."done" WHEN true THEN pg_catalog.now()::timestamp with time zone WHEN false THEN NULL END,
        l."note",
        (upper(note)) FROM seen AS l
    ON CONFLICT ("task_id") DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

INSERT INTO compat.reject (mapping, key, row_data, sqlstate, reason)
SELECT 'jobs', ARRAY[l."id"::text], to_jsonb(l), %(sqlstate)s, %(reason)s
FROM "public"."jobs" AS l WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
ON CONFLICT (mapping, key) DO UPDATE SET row_data = EXCLUDED.row_data,
    sqlstate = EXCLUDED.sqlstate, reason = EXCLUDED.reason, at = EXCLUDED.at;

