"""How public.task corresponds to public.task2."""

from compat import rules, shapes, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "task",
    tables.Table(
        "public",
        "task",
        columns=(
            tables.Column(
                "id",
                "integer",
                nullable=False,
                default="nextval('public.task_id_seq'::regclass)",
            ),
            tables.Column("author", "text", nullable=False),
            tables.Column("task", "text", nullable=False),
            tables.Column("prio", "integer", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "task_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "task_prio_check",
                "check",
                columns=("prio",),
                definition="CHECK (((prio >= 1) AND (prio <= 3)))",
            ),
        ),
        sequences=(tables.Sequence("public", "task_id_seq", column="id"),),
    ),
    tables.Table(
        "public",
        "task2",
        columns=(
            tables.Column("id", "integer", nullable=False),
            tables.Column("task", "text", nullable=False),
            tables.Column("prio", "integer", nullable=False),
            tables.Column("author_id", "integer", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "task2_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
            tables.Constraint(
                "task2_prio_check",
                "check",
                columns=("prio",),
                definition="CHECK (((prio >= 1) AND (prio <= 3)))",
            ),
            tables.Constraint(
                "task2_author_id_fkey",
                "foreign_key",
                columns=("author_id",),
                definition="FOREIGN KEY (author_id) REFERENCES public.author(id)",
            ),
        ),
        indexes=(tables.Index("task2_author_id_idx", definition="USING btree (author_id)"),),
    ),
    rules=(
        rules.Column("id", "id"),
        rules.Column("author", "name"),
        rules.Column("task", "task"),
        rules.Column("prio", "prio"),
    ),
    parts=(
        shapes.Parent(
            table=tables.Table(
                "public",
                "author",
                columns=(
                    tables.Column("id", "integer", nullable=False, identity="by default"),
                    tables.Column("name", "text", nullable=False),
                ),
                constraints=(
                    tables.Constraint(
                        "author_pkey",
                        "primary_key",
                        columns=("id",),
                        definition="PRIMARY KEY (id)",
                    ),
                    tables.Constraint(
                        "author_name_key",
                        "unique",
                        columns=("name",),
                        definition="UNIQUE (name)",
                    ),
                ),
            ),
            on=(("id", "author_id"),),
            holds=("author",),
        ),
    ),
)
