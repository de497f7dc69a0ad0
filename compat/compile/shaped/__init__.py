"""Compiled SQL for legacy rows that are not exactly one row of one target table.

Clients, sync and copy all write through the view; its triggers alone know how rows are spread.
"""
