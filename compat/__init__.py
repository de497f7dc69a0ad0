"""A compatibility layer: one mapping, its view and triggers, and the run of a migration.

Values know no SQL execution; compilation touches no connection; operations and the run execute.
"""
