-- Runs by which rows of another database were moved here, counted per mapping; one that was killed
-- has no end. `last_key` is the last legacy key that has been dealt with: there it is taken up again.
CREATE TABLE IF NOT EXISTS compat.move (
    mapping text NOT NULL,
    run integer NOT NULL,
    document json NOT NULL,
    fingerprint text NOT NULL,
    source text NOT NULL,
    condition text,
    last_key text[],
    found bigint NOT NULL DEFAULT 0,
    moved bigint NOT NULL DEFAULT 0,
    same bigint NOT NULL DEFAULT 0,
    different bigint NOT NULL DEFAULT 0,
    orphans bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    undone_at timestamptz,
    PRIMARY KEY (mapping, run)
);

---
-- What each transaction of a run has inserted: target keys (an element each, or an array each where
-- a key has several columns), and the transaction's number, the rows' xmin until they are changed.
CREATE TABLE IF NOT EXISTS compat.move_batch (
    mapping text NOT NULL,
    run integer NOT NULL,
    number integer NOT NULL,
    xid xid8 NOT NULL,
    keys text[] NOT NULL,
    PRIMARY KEY (mapping, run, number),
    FOREIGN KEY (mapping, run) REFERENCES compat.move ON DELETE CASCADE
);
