"""The same statements on the view and on a twin of the legacy table, and the answers compared.

Everything happens in one transaction that is rolled back, each statement in a savepoint.
"""
