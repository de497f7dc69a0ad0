-- Versions on top of versions. `through` names the migration whose target a view reads since that was
-- cut over: the view of v1 reads v3 directly once the table v2 is a view itself.
ALTER TABLE compat.mapping ADD COLUMN IF NOT EXISTS through text REFERENCES compat.mapping;

---
-- The migrations one of whose tables is the legacy table of another one, or was before its cutover.
CREATE OR REPLACE FUNCTION compat.leading_to(mapping_name text)
RETURNS SETOF compat.mapping LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT b.* FROM compat.mapping m JOIN compat.mapping b ON b.name <> m.name
WHERE m.name = mapping_name
  AND EXISTS (
    SELECT FROM (
        SELECT b.document -> 'target' AS target
        UNION ALL SELECT e -> 'table' FROM json_array_elements(b.document -> 'parts') e
        UNION ALL SELECT e -> 'table' FROM json_array_elements(b.document -> 'choices') e) t
    WHERE t.target ->> 'schema' = m.document -> 'legacy' ->> 'schema'
      AND t.target ->> 'name' = m.document -> 'legacy' ->> 'name')
$$;

---
-- Those of them whose views follow it, and no other migration.
CREATE OR REPLACE FUNCTION compat.directly_beneath(mapping_name text)
RETURNS SETOF compat.mapping LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
SELECT b.* FROM compat.leading_to(mapping_name) b WHERE coalesce(b.through, mapping_name) = mapping_name
$$;

---
-- Raises while a migration beneath is not cut over: what its sync writes would go to a view, and what
-- clients of the view write would not reach its table. Or while its view follows another migration.
CREATE OR REPLACE FUNCTION compat.require_settled_beneath(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unsettled compat.mapping;
BEGIN
    SELECT * INTO unsettled FROM compat.directly_beneath(mapping_name) b
    WHERE b.phase IN ('expanded', 'copying', 'copied') ORDER BY b.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s leads to the table that %s is to replace, and is only %s',
                             quote_ident(unsettled.name), quote_ident(mapping_name), unsettled.phase),
            HINT = format('Cut it over first (compat status %s), or take it back.', unsettled.name);
    END IF;
    SELECT * INTO unsettled FROM compat.leading_to(mapping_name) b
    WHERE b.through <> mapping_name AND b.phase <> 'contracted' ORDER BY b.name LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s reads the table that %s is to replace, and reads through %s already',
                             quote_ident(unsettled.name), quote_ident(mapping_name), quote_ident(unsettled.through)),
            HINT = format('Contract it first, or roll %s back.', unsettled.through);
    END IF;
END $$;

---
-- Raises unless the views that read the legacy table of a migration, or read through it, are those
-- with which a step of it was compiled. Who changes that waits until we are done.
CREATE OR REPLACE FUNCTION compat.require_beneath(mapping_name text, known text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_names text[];
BEGIN
    PERFORM FROM compat.mapping WHERE name = ANY (known) ORDER BY name FOR UPDATE;
    WITH RECURSIVE beneath(name, phase) AS (
        SELECT b.name, b.phase FROM compat.directly_beneath(mapping_name) b
        UNION
        SELECT m.name, m.phase FROM beneath b JOIN compat.mapping m ON m.through = b.name
    )
    SELECT coalesce(array_agg(name ORDER BY name COLLATE "C") FILTER (WHERE phase IN ('cutover', 'published')), '{}')
    INTO found_names FROM beneath;
    IF found_names <> known THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the versions whose views are beneath %s are others than this step was made for: %s',
                             quote_ident(mapping_name), coalesce(nullif(array_to_string(found_names, ', '), ''), 'none')),
            HINT = 'Run the step online: it asks the database for them, which a script (--sql) cannot.';
    END IF;
END $$;

---
-- Raises unless a migration reads through those later ones with which a step of it was compiled.
CREATE OR REPLACE FUNCTION compat.require_above(mapping_name text, known text[])
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_names text[];
BEGIN
    WITH RECURSIVE above(name, level) AS (
        SELECT m.through, 1 FROM compat.mapping m WHERE m.name = mapping_name AND m.through IS NOT NULL
        UNION ALL
        SELECT m.through, a.level + 1 FROM above a JOIN compat.mapping m ON m.name = a.name
        WHERE m.through IS NOT NULL
    )
    SELECT coalesce(array_agg(name ORDER BY level), '{}') INTO found_names FROM above;
    IF found_names <> known THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s reads through other versions than this step was made for: %s',
                             quote_ident(mapping_name), coalesce(nullif(array_to_string(found_names, ', '), ''), 'none')),
            HINT = 'Run the step online: it asks the database for them, which a script (--sql) cannot.';
    END IF;
END $$;

---
-- Raises while a later version has taken the place of the table that is to be written again.
CREATE OR REPLACE FUNCTION compat.require_topmost(mapping_name text)
RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    above text;
BEGIN
    WITH RECURSIVE upper(name, phase, through) AS (
        SELECT m.name, NULL::text, m.through FROM compat.mapping m WHERE m.name = mapping_name
        UNION ALL
        SELECT m.name, m.phase, m.through FROM upper u JOIN compat.mapping m ON m.name = u.through
    )
    SELECT name INTO above FROM upper WHERE phase = 'cutover' LIMIT 1;
    IF above IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('%s reads through %s, which has been cut over since', quote_ident(mapping_name),
                             quote_ident(above)),
            HINT = format('Take the later version back first: compat rollback %s --execute.', above);
    END IF;
END $$;

---
CREATE OR REPLACE FUNCTION compat.put_beneath(mapping_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
UPDATE compat.mapping SET through = mapping_name
WHERE name IN (SELECT b.name FROM compat.directly_beneath(mapping_name) b
               WHERE b.phase IN ('cutover', 'contracted', 'published'))
$$;

---
CREATE OR REPLACE FUNCTION compat.take_from_beneath(mapping_name text)
RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
UPDATE compat.mapping SET through = NULL WHERE through = mapping_name
$$;
