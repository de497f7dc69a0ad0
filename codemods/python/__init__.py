"""Rewrites Python modules.

`module` works on one of them. It reads a `tree` (of what `reduction` leaves of a source), strings
(`literals` one, `composed` several, `strings` all), their `context` and `ignored` comments. What is
decided goes into `work`: uses of models (`usage`, with what `inference` tells of variables, and
`strangers` of other classes), `calls` that take a table's name, `codenames`. Definitions of models
are in `codemods.models`.
"""

from codemods.python.module import analyse, entities, tree_of, unreadable

__all__ = ["analyse", "entities", "tree_of", "unreadable"]
