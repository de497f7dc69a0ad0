"""What the compatibility layer costs, as ratios to the native table measured in the same run.

`python -m benchmarks --help`; the last full run is in RESULTS.md.
"""
