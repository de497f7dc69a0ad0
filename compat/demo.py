"""The demonstration: the whole journey of order_line_items under a shop that never stops.

Runs the commands that a user would run, each as a process of its own, from a checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.table import Table

from compat.console import COULD_NOT_RUN, DOES_NOT_HOLD, HOLDS, err, out
from compat.database import DatabaseUnavailable, provide_database
from compat.errors import CompatError

NAME = "order_line_items"
RATE = 60.0
"""Operations per second of each shop process: enough to meet every step, and no load test."""


@dataclass(frozen=True)
class Step:
    """One finished step, as the table at the end shows it."""

    title: str
    seconds: float
    holds: bool
    remark: str = ""


class StepFailed(Exception):
    """A step ended otherwise than it must; its output says why."""


def checkout() -> Path:
    """Return the root of the checkout that this package lies in, or that is the current folder.

    :raises CompatError: neither is a checkout (the wheel holds no revisions and no example)
    """
    for root in (Path(__file__).resolve().parents[1], Path.cwd()):
        if (root / "alembic.ini").is_file() and (root / "examples" / "shop").is_dir():
            return root
    raise CompatError(
        "the demo needs the reference revisions and the example shop",
        "run it from a checkout of the repository",
    )


def run_demo(*, rows: int, workers: int, seed: int, keep: bool) -> int:
    """Run the journey, print the table of its steps, and return the exit code.

    :param rows: order lines to begin with
    :param workers: processes of the legacy shop, and as many of the rewritten one later
    :param keep: leave the working directory with ledgers and logs
    """
    root = checkout()
    # Whatever ends the demo, its processes and its database end with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    directory = Path(tempfile.mkdtemp(prefix="compat-demo-"))
    try:
        with provide_database() as server, server.fresh() as url:
            out.print(f"database: {server.origin}", markup=False)
            demo = Demo(root, directory, url, workers, seed)
            try:
                demo.run(rows)
            except StepFailed:
                pass
            finally:
                demo.stop_all()
            return demo.report()
    except DatabaseUnavailable as error:
        err.print(f"no database for the demo: {error}", markup=False)
        return COULD_NOT_RUN
    finally:
        if keep:
            out.print(f"ledgers and logs: {directory}", markup=False)
        else:
            shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Demo:
    """One run: where it works, what it has started, what it has seen."""

    root: Path
    directory: Path
    url: str
    workers: int
    seed: int
    steps: list[Step] = field(default_factory=list)
    shops: dict[str, list[subprocess.Popen[str]]] = field(default_factory=dict)
    longest_stall: float = 0.0
    acknowledged: int = 0

    def run(self, rows: int) -> None:
        """Go through all steps; the first that fails ends the run."""
        legacy, rewritten = self.root / "examples", self.directory / "rewritten"
        self.step("legacy schema (alembic upgrade)", self.alembic("upgrade", "oli_0001"))
        self.step(
            f"load {rows:,} order lines",
            self.shop(legacy, "load", "--rows", str(rows), "--seed", str(self.seed)),
        )
        self.step(f"open the shop: {self.workers} processes", lambda: self.open(legacy, "legacy"))
        self.step("expand (alembic upgrade)", self.alembic("upgrade", "oli_0002"))
        self.step("copy while the shop writes", self.compat("copy", NAME, "--execute"))
        self.step("verify before the cutover", self.verify)
        self.step("cutover", self.compat("cutover", NAME, "--execute"))
        self.step("verify through the view", self.verify)
        self.step("roll back", self.compat("rollback", NAME, "--execute"))
        self.step("verify after the way back", self.verify)
        self.step("cut over again (alembic upgrade)", self.alembic("upgrade", "oli_0003"))
        self.step("verify again", self.verify)
        self.step("rewrite the shop (compat-codemod)", lambda: self.rewrite(rewritten))
        self.step("open the rewritten shop beside it", lambda: self.open(rewritten, "v2"))
        self.step("verify with both versions at work", self.verify)
        self.step("close the legacy shop", lambda: self.close("legacy"))
        self.step("contract (alembic upgrade)", self.alembic("upgrade", "oli_0004"))
        self.step("a report of the rewritten shop", self.shop(rewritten, "report"))
        self.step("close the rewritten shop", lambda: self.close("v2"))
        self.step("every acknowledged write is there, once", self.check(rewritten))

    def step(self, title: str, work: Callable[[], str]) -> None:
        """Run one step, remember how it went and how long it took.

        :raises StepFailed: it did not hold; the step is in the table all the same
        """
        started = time.monotonic()
        try:
            remark = work()
            self.alive()
        except StepFailed as failure:
            self.steps.append(Step(title, time.monotonic() - started, False, str(failure)))
            out.print(f"[bold red]✗[/] {title}")
            raise
        self.steps.append(Step(title, time.monotonic() - started, True, remark))
        out.print(f"[green]✓[/] {title} [dim]{self.steps[-1].seconds:.1f} s[/]  {remark}")

    # -- what the steps are made of ---------------------------------------------------------

    def alembic(self, *arguments: str) -> Callable[[], str]:
        """Return work that runs Alembic in the checkout."""

        def work() -> str:
            self.command("alembic", sys.executable, "-m", "alembic", *arguments)
            return ""

        return work

    def compat(self, *arguments: str) -> Callable[[], str]:
        """Return work that runs a `compat` command and remarks its last line."""
        code = "from compat.cli import main; main()"
        return lambda: self.command("compat", sys.executable, "-c", code, *arguments)

    def verify(self) -> str:
        """Run compat-verify and remark its last line."""
        return self.command(
            "compat-verify", sys.executable, "-c", "from verify.cli import main; main()"
        )

    def shop(self, where: Path, *arguments: str) -> Callable[[], str]:
        """Return work that runs the shop that lies in a folder."""
        return lambda: self.command(
            "shop", sys.executable, "-m", "shop", *arguments, python_path=where
        )

    def rewrite(self, to: Path) -> str:
        """Copy the shop and rewrite the copy; what converts values is written by hand."""
        shutil.copytree(self.root / "examples" / "shop", to / "shop")
        # First the values, then the names: a statement that has a piece of SQL of values.py in it
        # is only rewritten when that piece does not speak of legacy columns any more.
        shutil.copy(self.root / "examples" / "shop_v2_values.py", to / "shop" / "values.py")
        mapping = str(self.root / "alembic" / "mappings" / f"{NAME}.py")
        code = "from codemods.cli import main; main()"
        # The database, which the environment names, tells the columns of the other tables: a
        # statement over several is only rewritten when each bare column belongs to one of them.
        arguments = (str(to), "--mapping", mapping, "--write")
        return self.command("compat-codemod", sys.executable, "-c", code, *arguments)

    def open(self, where: Path, version: str) -> str:
        """Start the processes of one version of the shop."""
        first = 0 if version == "legacy" else self.workers
        started = self.shops[version] = []
        for number in range(first, first + self.workers):
            command = [sys.executable, "-m", "shop", "work"]
            command += ["--ledger", str(self.directory / f"{version}-{number}.jsonl")]
            command += ["--worker", str(number), "--workers", str(2 * self.workers)]
            command += ["--seed", str(self.seed), "--rate", str(RATE)]
            with (self.directory / f"{version}-{number}.log").open("w") as log:
                shop = subprocess.Popen(
                    command,
                    env=self.environment(where),
                    cwd=self.directory,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            started.append(shop)
        return ""

    def close(self, version: str) -> str:
        """Stop one version of the shop and add up what its processes report.

        :raises StepFailed: a process saw an error that an application would have seen
        """
        shops = self.shops.pop(version)
        for shop in shops:
            shop.send_signal(signal.SIGTERM)
        retries = 0
        for shop in shops:
            reported, _ = shop.communicate(timeout=60)
            if shop.returncode != 0:
                raise StepFailed(f"a shop process ended with {shop.returncode}: {reported.strip()}")
            summary = json.loads(reported)
            self.acknowledged += summary["acknowledged"]
            self.longest_stall = max(self.longest_stall, summary["longest_stall"])
            retries += summary["retries"]
        return f"no client error, {retries} retries of 40001 and the like"

    def check(self, where: Path) -> Callable[[], str]:
        """Return work that compares the ledgers of both versions with the v2 table."""

        def work() -> str:
            ledgers = sorted(str(path) for path in self.directory.glob("*.jsonl"))
            return self.shop(where, "check", *ledgers)()

        return work

    def alive(self) -> None:
        """Fail when a shop process has ended by itself."""
        for version, shops in self.shops.items():
            for shop in shops:
                if shop.poll() is not None:
                    raise StepFailed(f"a process of the {version} shop ended: {shop.returncode}")

    def command(self, name: str, *arguments: str, python_path: Path | None = None) -> str:
        """Run a command in the checkout and return the last line of its output.

        :raises StepFailed: another exit code than 0; what it printed is shown
        """
        finished = subprocess.run(
            arguments,
            cwd=self.root,
            env=self.environment(python_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        with (self.directory / "commands.log").open("a") as log:
            log.write(f"{name}\n{finished.stdout}{finished.stderr}\n")
        if finished.returncode != 0:
            out.print(finished.stdout + finished.stderr, markup=False)
            raise StepFailed(f"{name} ended with {finished.returncode}")
        lines = [line for line in finished.stdout.splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""

    def environment(self, python_path: Path | None) -> dict[str, str]:
        """Return the environment of a command: the URL, which may hold a password, goes there."""
        given = dict(os.environ, DATABASE_URL=self.url, COMPAT_DATABASE_URL=self.url)
        given["PYTHONPATH"] = str(python_path) if python_path else ""
        return given

    def stop_all(self) -> None:
        """End whatever is still running."""
        for shops in self.shops.values():
            for shop in shops:
                shop.kill()
                shop.wait()

    def report(self) -> int:
        """Print the table of the steps and return the exit code."""
        table = Table(box=box.SIMPLE_HEAD, title="The journey", title_justify="left")
        for header in ("step", "seconds", "", "remark"):
            table.add_column(header, justify="right" if header == "seconds" else "left")
        for step in self.steps:
            verdict = "[green]holds[/]" if step.holds else "[bold red]does not hold[/]"
            table.add_row(step.title, f"{step.seconds:.1f}", verdict, step.remark)
        out.print(table)
        total = sum(step.seconds for step in self.steps)
        holds = all(step.holds for step in self.steps)
        out.print(
            f"{self.acknowledged:,} operations acknowledged, the longest took "
            f"{self.longest_stall * 1000:.0f} ms; {total:.0f} s in all"
        )
        out.print("[bold green]all of it held[/]" if holds else "[bold red]it did not hold[/]")
        return HOLDS if holds else DOES_NOT_HOLD
