"""How public.todo corresponds to public.task."""

from compat import rules, shapes, tables
from compat.mapping import Mapping

MAPPING = Mapping(
    "todo",
    tables.Table(
        "public",
        "todo",
        columns=(
            tables.Column(
                "id",
                "integer",
                nullable=False,
                default="nextval('public.task_id_seq'::regclass)",
            ),
            tables.Column("author", "text", nullable=False),
            tables.Column("task", "text", nullable=False),
        ),
        constraints=(
            tables.Constraint(
                "todo_pkey",
                "primary_key",
                columns=("id",),
                definition="PRIMARY KEY (id)",
            ),
        ),
    ),
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
    rules=(
        rules.Column("id", "id"),
        rules.Column("author", "author"),
        rules.Column("task", "task"),
    ),
    tag=shapes.Tag(column="prio", value=1),
)
