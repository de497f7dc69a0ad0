"""Rewrites application repositories from the legacy names to the target names of a mapping.

Edits are made by position, so formatting stays; every textual hit is changed, proven to be
something else, or listed.
"""
