"""The checks, each one small module with one function `check(context) -> Result`.

They share nothing but the context; the runner opens their transactions.
"""
