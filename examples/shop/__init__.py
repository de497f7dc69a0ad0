"""A small shop as one finds it: orders, their lines, returns, in plain SQLAlchemy and SQL.

It knows the names of its own tables and nothing of any migration. Start with `models`, then
`operations`; `worker` keeps a shop busy and `ledger` proves afterwards that nothing was lost.
"""
