"""The example's command line: fills the monolith, and the microservice's listings.
Run it as `python -m reservations`, with the folder that holds it in PYTHONPATH.
"""

import argparse
import os
import sys

import psycopg

from .data import load_listings, load_monolith


def main() -> int:
    """Fill both databases; 2 when they cannot be reached, or are not what they should be."""
    parser = argparse.ArgumentParser(prog="python -m reservations", description=__doc__)
    parser.add_argument("--source", default=os.environ.get("COMPAT_SOURCE_URL"))
    parser.add_argument("--target", default=os.environ.get("COMPAT_TARGET_URL"))
    parser.add_argument("--rows", type=int, default=2000, help="reservations (%(default)s)")
    options = parser.parse_args()
    if not (options.source and options.target):
        parser.error("name both databases: --source and --target, or the variables")
    try:
        with psycopg.connect(options.source) as monolith:
            load_monolith(monolith, options.rows)
        with psycopg.connect(options.target) as microservice:
            load_listings(microservice, options.rows)
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error).strip().splitlines()[-1]
        print(f"reservations: the database said: {reason}", file=sys.stderr)
        return 2
    print(f"Loaded {options.rows:,} reservations and the listings of most of their products.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
