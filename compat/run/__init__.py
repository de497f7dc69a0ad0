"""The run of a migration: what executes on connections, step by step, and can be resumed.

Each module is one command's work without its command line; values go in and values come out.
"""
