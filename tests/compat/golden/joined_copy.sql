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
), p1_made AS (
    INSERT INTO "public"."cities" AS p1 ("city")
    SELECT DISTINCT ON (((l."city")::text)) l."city" FROM seen AS l
    WHERE ((l."city")::text) IS NOT NULL AND NOT EXISTS (
        SELECT FROM "public"."cities" AS p1 WHERE p1."city" = ((l."city")::text))
    ORDER BY ((l."city")::text)
    ON CONFLICT ("city") DO UPDATE SET "city" = EXCLUDED."city"
    RETURNING p1.*
), p1_found AS MATERIALIZED (
    SELECT p1.* FROM "public"."cities" AS p1
    WHERE EXISTS (SELECT FROM seen AS l WHERE p1."city" = ((l."city")::text)) FOR KEY SHARE
), p1_all AS (SELECT * FROM p1_found UNION ALL SELECT * FROM p1_made), copied AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "kind", "city_id")
    SELECT l."id",
        l."name",
        l."kind",
        p1."city_id" FROM seen AS l
    LEFT JOIN p1_all AS p1 ON p1."city" = ((l."city")::text)
    WHERE (p1."city_id" IS NOT NULL OR NOT num_nonnulls(l."city") > 0)
    ON CONFLICT ("id") DO NOTHING RETURNING t.*
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."clients" AS l
    WHERE NOT EXISTS (SELECT FROM "public"."persons" AS t
LEFT JOIN "public"."cities" AS p1 ON p1."city_id" = t."city_id" WHERE t."id" = l."id")
    AND NOT EXISTS (SELECT FROM compat.reject AS r WHERE r.mapping = 'joined clients' AND r.key = ARRAY[l."id"::text])
    LIMIT %(size)s FOR SHARE OF l
), p1_made AS (
    INSERT INTO "public"."cities" AS p1 ("city")
    SELECT DISTINCT ON (((l."city")::text)) l."city" FROM seen AS l
    WHERE ((l."city")::text) IS NOT NULL AND NOT EXISTS (
        SELECT FROM "public"."cities" AS p1 WHERE p1."city" = ((l."city")::text))
    ORDER BY ((l."city")::text)
    ON CONFLICT ("city") DO UPDATE SET "city" = EXCLUDED."city"
    RETURNING p1.*
), p1_found AS MATERIALIZED (
    SELECT p1.* FROM "public"."cities" AS p1
    WHERE EXISTS (SELECT FROM seen AS l WHERE p1."city" = ((l."city")::text)) FOR KEY SHARE
), p1_all AS (SELECT * FROM p1_found UNION ALL SELECT * FROM p1_made), copied AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "kind", "city_id")
    SELECT l."id",
        l."name",
        l."kind",
        p1."city_id" FROM seen AS l
    LEFT JOIN p1_all AS p1 ON p1."city" = ((l."city")::text)
    WHERE (p1."city_id" IS NOT NULL OR NOT num_nonnulls(l."city") > 0)
    ON CONFLICT ("id") DO NOTHING RETURNING t.*
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

WITH seen AS MATERIALIZED (
    SELECT l.* FROM "public"."clients" AS l
    WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
    FOR SHARE OF l
), p1_made AS (
    INSERT INTO "public"."cities" AS p1 ("city")
    SELECT DISTINCT ON (((l."city")::text)) l."city" FROM seen AS l
    WHERE ((l."city")::text) IS NOT NULL AND NOT EXISTS (
        SELECT FROM "public"."cities" AS p1 WHERE p1."city" = ((l."city")::text))
    ORDER BY ((l."city")::text)
    ON CONFLICT ("city") DO UPDATE SET "city" = EXCLUDED."city"
    RETURNING p1.*
), p1_found AS MATERIALIZED (
    SELECT p1.* FROM "public"."cities" AS p1
    WHERE EXISTS (SELECT FROM seen AS l WHERE p1."city" = ((l."city")::text)) FOR KEY SHARE
), p1_all AS (SELECT * FROM p1_found UNION ALL SELECT * FROM p1_made), copied AS (
    INSERT INTO "public"."persons" AS t ("id", "name", "kind", "city_id")
    SELECT l."id",
        l."name",
        l."kind",
        p1."city_id" FROM seen AS l
    LEFT JOIN p1_all AS p1 ON p1."city" = ((l."city")::text)
    WHERE (p1."city_id" IS NOT NULL OR NOT num_nonnulls(l."city") > 0)
    ON CONFLICT ("id") DO NOTHING RETURNING t.*
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM copied),
    (SELECT ARRAY[l."id"::text] FROM (SELECT l."id" FROM seen AS l ORDER BY l."id" DESC LIMIT 1) AS l);

INSERT INTO compat.reject (mapping, key, row_data, sqlstate, reason)
SELECT 'joined clients', ARRAY[l."id"::text], to_jsonb(l), %(sqlstate)s, %(reason)s
FROM "public"."clients" AS l WHERE ROW(l."id") = ROW((%(key)s::text[])[1]::integer)
ON CONFLICT (mapping, key) DO UPDATE SET row_data = EXCLUDED.row_data,
    sqlstate = EXCLUDED.sqlstate, reason = EXCLUDED.reason, at = EXCLUDED.at;

