"""The statements of applications, run on the legacy table and on the view at its place.

`reading` takes them from files, logs and pg_stat_statements; `pointing` says them of either side.
"""
