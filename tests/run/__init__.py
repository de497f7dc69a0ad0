"""Tests of the run: the command line, bad input, the copy, and the short steps."""
