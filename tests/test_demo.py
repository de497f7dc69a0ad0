"""The demonstration, small, as a user runs it: the whole journey under a shop that never stops.

What it proves in detail is tested elsewhere; here it must end, say so, and leave nothing behind.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.repository import ROOT


def run_demo(directory: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `compat demo` on the tests' server, with its temporary files in a folder of ours."""
    return subprocess.run(
        [sys.executable, "-c", "from compat.cli import main; main()", "demo", *arguments],
        cwd=ROOT,
        env=dict(os.environ, DATABASE_URL=url, TMPDIR=str(directory)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_whole_journey_holds_under_a_live_shop(tmp_path: Path, url: str) -> None:
    finished = run_demo(tmp_path, url, "--rows", "2000", "--workers", "1")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "all of it held" in finished.stdout
    assert "no discrepancies" in finished.stdout
    assert finished.stdout.count("no client error") == 4  # as it happens, and in the table
    assert list(tmp_path.iterdir()) == []  # neither ledgers nor a server


def test_a_step_that_does_not_hold_ends_the_journey_with_exit_code_1(
    tmp_path: Path, url: str
) -> None:
    # The shop's commands fail here, as they would in a broken environment.
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "import compat.demo as demo\n"
            "demo.Demo.shop = lambda self, where, *a: "
            "lambda: self.command('shop', demo.sys.executable, '-c', 'raise SystemExit(3)')\n"
            "raise SystemExit(demo.run_demo(rows=100, workers=1, seed=1, keep=False))",
        ],
        cwd=ROOT,
        env=dict(os.environ, DATABASE_URL=url, TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "does not hold" in finished.stdout
    assert "ended with 3" in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_outside_a_checkout_the_demo_says_what_it_needs(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "import compat.demo as demo, pathlib\n"
            "demo.__file__ = str(pathlib.Path.cwd() / 'site-packages' / 'compat' / 'demo.py')\n"
            "from compat.cli import main; main()",
            "demo",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2, finished.stdout + finished.stderr
    assert "run it from a checkout" in finished.stderr
