"""Executes one of the scripts of this example: `python -m examples.chinook sample`."""

import argparse
import os
import sys
from pathlib import Path

import psycopg

SCRIPTS = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.sql"))}


def main() -> int:
    """Execute the script; 2 when the database cannot be reached, or refuses it."""
    parser = argparse.ArgumentParser(prog="python -m examples.chinook", description=__doc__)
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("--url", default=os.environ.get("DATABASE_URL"))
    options = parser.parse_args()
    if not options.url:
        parser.error("name the database: --url, or DATABASE_URL")
    try:
        with psycopg.connect(options.url) as conn:
            conn.execute(SCRIPTS[options.script].read_bytes())
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error).strip().splitlines()[-1]
        print(f"chinook: the database said: {reason}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
