"""The files of this repository, for the tests that look at the repository itself.

What git tracks or would track; without git (an unpacked archive) what is not obviously made.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("codemods", "compat", "verify")
MADE = {".venv", "__pycache__", "build", "dist", ".git", ".hypothesis"}


def files() -> list[Path]:
    """Relative paths, sorted."""
    # The checkout may belong to another user than the one who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    try:
        output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        return sorted(
            path
            for path in found
            if not any(
                part in MADE or part.endswith(("_cache", ".egg-info", ".pyc"))
                for part in path.parts
            )
            and (ROOT / path).is_file()
        )
    names = (Path(name) for name in output.decode().split("\0") if name)
    return sorted({path for path in names if (ROOT / path).is_file()})
