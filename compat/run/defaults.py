"""What holds unless the user says otherwise: the numbers that options and command lines share.

Imports nothing, so that a command line can show them before anything that it might need is loaded.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LOCK_TIMEOUT_MS: Final = 100
MAX_ATTEMPTS: Final = 50

WORKERS: Final = 2
BATCH_SIZE: Final = 5_000
BATCH_SECONDS: Final = 0.1
PAUSE: Final = 0.0
MAX_REJECTS: Final = 0
PATIENCE: Final = 60.0

VERIFIED_WITHIN: Final = timedelta(hours=24)
MAX_TRANSACTION_AGE: Final = timedelta(seconds=30)

UNUSED_FOR: Final = timedelta(hours=24)
WATCH: Final = timedelta(seconds=2)
LOOK_INTERVAL: Final = timedelta(milliseconds=100)

LISTED: Final = 20
"""Rows of each kind that the result of a move names, unless more are asked for."""
