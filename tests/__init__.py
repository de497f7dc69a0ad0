"""The tests of the toolkit.

Packages, so that two test modules may have the same name.
"""
