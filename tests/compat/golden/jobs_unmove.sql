DROP TABLE IF EXISTS pg_temp.compat_moved;

CREATE TEMP TABLE compat_moved AS
SELECT DISTINCT ON ("task_id") b.run AS compat_run, b.xid AS compat_xid,
    ''::text AS compat_outcome, m."task_id"::integer AS "task_id"
FROM compat.move_batch AS b, LATERAL (SELECT u.part AS "task_id" FROM unnest(b.keys) AS u(part)) AS m
WHERE b.mapping = 'jobs' AND b.run = 2
ORDER BY "task_id", b.run DESC;

ANALYZE pg_temp.compat_moved;

SELECT count(*) FROM (SELECT FROM "public"."tasks" AS t
    JOIN pg_temp.compat_moved AS m ON t."task_id" = m."task_id" FOR UPDATE OF t) AS locked;

UPDATE pg_temp.compat_moved AS m SET compat_outcome = COALESCE(
    (SELECT CASE WHEN t.xmin = m.compat_xid::xid THEN 'removed' ELSE 'changed' END
     FROM "public"."tasks" AS t WHERE t."task_id" = m."task_id"), 'gone');

UPDATE pg_temp.compat_moved AS m SET compat_outcome = 'referenced'
FROM "public"."tasks" AS t
WHERE m.compat_outcome = 'removed' AND t."task_id" = m."task_id"
    AND EXISTS (SELECT FROM public.tasks AS c WHERE c."cents" = t."task_id"
        AND NOT EXISTS (SELECT FROM pg_temp.compat_moved AS x
            WHERE c."task_id" = x."task_id" AND x.compat_outcome = 'removed'));

DELETE FROM "public"."tasks" AS t USING pg_temp.compat_moved AS m
WHERE m.compat_outcome = 'removed' AND t."task_id" = m."task_id";

DELETE FROM compat.move_batch WHERE mapping = 'jobs' AND run = 2;

INSERT INTO compat.move_batch (mapping, run, number, xid, keys)
SELECT 'jobs', compat_run,
    row_number() OVER (PARTITION BY compat_run ORDER BY compat_xid), compat_xid,
    array_agg(m."task_id"::text)
FROM pg_temp.compat_moved AS m WHERE compat_outcome IN ('changed', 'referenced')
GROUP BY compat_run, compat_xid;

UPDATE compat.move SET undone_at = clock_timestamp() WHERE mapping = 'jobs' AND run = 2 AND undone_at IS NULL;

