CREATE VIEW "public"."tasks__compat" AS
SELECT
    b."task_id",
    b."cents",
    b."state",
    b."done_at",
    b."remark",
    b."title"
FROM "compat"."reversed jobs__bridge" AS b;

ALTER VIEW "public"."tasks__compat" ALTER COLUMN "task_id" SET DEFAULT nextval('public.jobs_id_seq'::regclass);

SELECT compat.own_view('"public"."tasks__compat"'::pg_catalog.regclass, '"public"."jobs"'::pg_catalog.regclass);

