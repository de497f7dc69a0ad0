-- TasKy as it was: one table, in which the name of an author is written again and again.

CREATE TABLE task (
    id serial PRIMARY KEY,
    author text NOT NULL,
    task text NOT NULL,
    prio integer NOT NULL CHECK (prio BETWEEN 1 AND 3)
);

INSERT INTO task (author, task, prio) VALUES
    ('Ann', 'Organize party', 3),
    ('Ben', 'Learn for exam', 2),
    ('Ann', 'Write paper', 1),
    ('Ben', 'Clean room', 1);
