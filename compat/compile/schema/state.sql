CREATE SCHEMA IF NOT EXISTS compat;

---
CREATE TABLE IF NOT EXISTS compat.mapping (
    name text PRIMARY KEY,
    document json NOT NULL,
    fingerprint text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('expanded', 'copying', 'copied', 'cutover', 'contracted')),
    looks jsonb,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

---
CREATE TABLE IF NOT EXISTS compat.copy_progress (
    mapping text PRIMARY KEY REFERENCES compat.mapping ON DELETE CASCADE,
    last_key text[],
    rows_seen bigint NOT NULL DEFAULT 0,
    rows_copied bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);

---
CREATE TABLE IF NOT EXISTS compat.foreign_key (
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    referencing regclass NOT NULL,
    name name NOT NULL,
    twin_name name NOT NULL,
    PRIMARY KEY (mapping, referencing, name)
);

---
CREATE TABLE IF NOT EXISTS compat.event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    mapping text NOT NULL,
    step text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
