"""Comparing the rows of two relations exactly, in one database or across two.

SQL is built in join.py and side.py, run range by range in within.py and across.py.
"""
