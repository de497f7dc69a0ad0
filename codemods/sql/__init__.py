"""Rewrites the legacy names in SQL texts, by position.

`rewriting` divides a text into statements; `queries` walks one, with what `columns`, `tables` and
`outputs` know; `ledger` keeps the account; `lexer`, `syntax` and `postgres` read the text; `script`
is for whole files, with psql's commands and Jinja among the statements.
"""

from codemods.sql.ledger import SqlResult, looks_derived
from codemods.sql.rewriting import IGNORE, rewrite, rewrite_expression

__all__ = ["IGNORE", "SqlResult", "looks_derived", "rewrite", "rewrite_expression"]
