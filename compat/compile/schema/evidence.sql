-- Runs of compat-verify, whatever they found. A mapping that is taken back takes its history along:
-- it says nothing of the rows of another expand.
CREATE TABLE IF NOT EXISTS compat.verification (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    fingerprint text NOT NULL,
    phase text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    checks text[] NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('holds', 'does not hold', 'not run')),
    summary jsonb NOT NULL
);

---
CREATE INDEX IF NOT EXISTS verification_by_mapping ON compat.verification (mapping, id);

---
-- Who was seen to use a view after the cutover. `source` says how: by a lock that a transaction
-- held, by the last statement of a session, or by pg_stat_statements (which knows no application).
CREATE TABLE IF NOT EXISTS compat.usage (
    mapping text NOT NULL REFERENCES compat.mapping ON DELETE CASCADE,
    role text NOT NULL,
    application text NOT NULL,
    source text NOT NULL CHECK (source IN ('lock', 'session', 'statements')),
    kind text NOT NULL CHECK (kind IN ('read', 'write')),
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    times bigint NOT NULL,
    PRIMARY KEY (mapping, role, application, source, kind)
);

---
-- What pg_stat_statements had counted when we looked last: {"role/query/level": calls}; what it
-- counted has been looked at without a gap since `since`.
CREATE TABLE IF NOT EXISTS compat.usage_baseline (
    mapping text PRIMARY KEY REFERENCES compat.mapping ON DELETE CASCADE,
    since timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    stats_reset timestamptz NOT NULL,
    calls jsonb NOT NULL
);
