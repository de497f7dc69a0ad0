"""Compilation of mappings to SQL: pure functions from values to lists of statements.

Nothing here touches a connection; Alembic's operations and the run execute what is returned.
"""
