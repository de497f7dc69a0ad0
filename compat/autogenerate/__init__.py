"""`alembic revision --autogenerate` and `alembic check` for mappings.

`register` says which mappings a project's metadata holds; Alembic finds the rest by itself.
"""

from compat.autogenerate.registry import register

__all__ = ["register"]
