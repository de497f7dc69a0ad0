WITH sample AS (
    SELECT ARRAY[l."id"::text] AS key, count(*) OVER () AS size,
           row_number() OVER (ORDER BY l."id") AS place
    FROM "public"."clients" AS l TABLESAMPLE SYSTEM (%(percent)s)
)
SELECT key FROM sample
WHERE place * %(ranges)s / size > (place - 1) * %(ranges)s / size AND place < size
ORDER BY place;

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."clients" AS l CROSS JOIN LATERAL (SELECT l."id" OFFSET 0) AS found ("key1")
    WHERE (%(after)s::text[] IS NULL OR ROW(l."id") > ROW((%(after)s::text[])[1]::integer)) AND (%(upto)s::text[] IS NULL OR ROW(l."id") <= ROW((%(upto)s::text[])[1]::integer)) AND ROW(l."id") <= ROW(found."key1")
    ORDER BY l."id" LIMIT %(size)s FOR SHARE OF l SKIP LOCKED
), due AS MATERIALIZED (
    SELECT l.*, CASE WHEN (kind = 'firm') THEN 1 WHEN (kind = 'person') THEN 2 END AS "place1" FROM seen AS l
    WHERE NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = l."id" OFFSET 0)
), copied_1 AS (
    INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 1
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), copied_2 AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 2
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), refused AS MATERIALIZED (
    SELECT "compat"."chosen clients__copy"(l."id") FROM due AS l WHERE l."place1" IS NULL
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied_1) + (SELECT count(*) FROM copied_2) + (SELECT count(*) FROM refused),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."clients" AS l
    WHERE NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = l."id")
    AND NOT EXISTS (SELECT FROM compat.reject AS r WHERE r.mapping = 'chosen clients' AND r.key = ARRAY[l."id"::text])
    LIMIT %(size)s FOR SHARE OF l
), due AS MATERIALIZED (
    SELECT l.*, CASE WHEN (kind = 'firm') THEN 1 WHEN (kind = 'person') THEN 2 END AS "place1" FROM seen AS l
    WHERE NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = l."id" OFFSET 0)
), copied_1 AS (
    INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 1
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), copied_2 AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 2
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), refused AS MATERIALIZED (
    SELECT "compat"."chosen clients__copy"(l."id") FROM due AS l WHERE l."place1" IS NULL
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied_1) + (SELECT count(*) FROM copied_2) + (SELECT count(*) FROM refused),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."clients" AS l
    WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
    FOR SHARE OF l
), due AS MATERIALIZED (
    SELECT l.*, CASE WHEN (kind = 'firm') THEN 1 WHEN (kind = 'person') THEN 2 END AS "place1" FROM seen AS l
    WHERE NOT EXISTS (SELECT FROM (
    SELECT "id", "name", "city", "kind" FROM "public"."persons" AS t
    UNION ALL
    SELECT "id", "name", "city", "kind" FROM "public"."firms" AS t
) AS t WHERE t."id" = l."id" OFFSET 0)
), copied_1 AS (
    INSERT INTO "public"."firms" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 1
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), copied_2 AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "city", "kind")
    SELECT l."id",
        l."name",
        l."city",
        l."kind" FROM due AS l WHERE l."place1" = 2
    ON CONFLICT ("id") DO NOTHING RETURNING 1
), refused AS MATERIALIZED (
    SELECT "compat"."chosen clients__copy"(l."id") FROM due AS l WHERE l."place1" IS NULL
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied_1) + (SELECT count(*) FROM copied_2) + (SELECT count(*) FROM refused),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

INSERT INTO compat.reject (mapping, key, row_data, sqlstate, reason)
SELECT 'chosen clients', ARRAY[l."id"::text], to_jsonb(l), %(sqlstate)s, %(reason)s
FROM "public"."clients" AS l WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
ON CONFLICT (mapping, key) DO UPDATE SET row_data = EXCLUDED.row_data,
    sqlstate = EXCLUDED.sqlstate, reason = EXCLUDED.reason, at = EXCLUDED.at;

