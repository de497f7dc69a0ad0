SELECT ARRAY[l."id"::text] FROM (
    SELECT l."id" FROM "public"."files" AS l
    WHERE (%(after)s::text[] IS NULL OR ROW(l."id") > ROW((%(after)s::text[])[1]::integer))
    ORDER BY l."id" LIMIT %(size)s
) AS l ORDER BY l."id" DESC LIMIT 1;

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."files" AS l
    WHERE (%(after)s::text[] IS NULL OR ROW(l."id") > ROW((%(after)s::text[])[1]::integer)) AND ROW(l."id") <= ROW((%(upto)s::text[])[1]::integer)
     FOR SHARE OF l SKIP LOCKED
), copied AS (
    INSERT INTO "public"."documents" AS t ("task_id", "remark")
    SELECT l."id",
        l."note" FROM seen AS l
    ON CONFLICT ("task_id") DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."files" AS l
    WHERE NOT EXISTS (SELECT FROM "public"."documents" AS t WHERE t."task_id" = l."id")
    LIMIT %(size)s FOR SHARE OF l 
), copied AS (
    INSERT INTO "public"."documents" AS t ("task_id", "remark")
    SELECT l."id",
        l."note" FROM seen AS l
    ON CONFLICT ("task_id") DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied);

