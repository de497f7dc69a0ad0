"""Tests of `codemods`."""
