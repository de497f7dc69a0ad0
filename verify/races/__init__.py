"""Races between two sessions, on a copy of the view and its triggers.

What one of them is told must be true when both are done.
"""
