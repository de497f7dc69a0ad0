"""What every check is given: a connection, one stored mapping, and how much to show.

The physical names follow from the phase: before the cutover the view waits under another name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from compat import catalog
from compat.bridge import in_transition
from compat.connection import Connection
from compat.mapping import Mapping
from compat.state import Phase, Stored
from verify.compare.log import Log
from verify.options import Options

NO_TABLE = "a published version has no table of its own to try it on"


@dataclass(frozen=True)
class Context:
    """One mapping under examination.

    :param limit: how many differing rows are shown; the totals are exact
    :param lock_timeout: how many milliseconds a probe waits for a row of a live application
    :param avoid: keys of rows that live applications were seen to write
    :param options: how data is compared
    :param log: what has been compared so far
    :param snapshot: the name of this connection's snapshot, by which workers share it
    """

    conn: Connection
    stored: Stored
    limit: int = 10
    lock_timeout: int = 500
    avoid: frozenset[tuple[str | None, ...]] = frozenset()
    options: Options = field(default_factory=Options)
    log: Log = field(default_factory=Log.temporary)
    snapshot: str | None = None

    @property
    def mapping(self) -> Mapping:
        """The mapping."""
        return self.stored.mapping

    @property
    def physical(self) -> Mapping:
        """The mapping with its legacy table under the name that this has in this phase."""
        legacy = replace(self.mapping.legacy, name=self.physical_name)
        return replace(self.mapping, legacy=legacy)

    @property
    def is_cutover(self) -> bool:
        """True while the view has the legacy name."""
        return self.stored.phase == "cutover"

    @property
    def has_table(self) -> bool:
        """False where the view stands beside no table whose rows it shows.

        That is so of a version that was published, and where the legacy table itself has v2's rows.
        """
        return self.stored.phase != "published" and not self.writes_legacy

    @property
    def writes_legacy(self) -> bool:
        """True where what the view takes must fit the legacy table too, which it writes to."""
        return self.stored.stated.chosen_form == "reversed"

    @property
    def facing(self) -> Context:
        """The same as the clients of the view have it: in the form `reversed`, those of v2.

        Between their table, which the view stands for, and the legacy one are plain renames.
        """
        if self.mapping.chosen_form != "reversed":
            return self
        mapping = replace(in_transition(self.mapping), form="updatable", fills=())
        phase: Phase = "published" if self.is_cutover else self.stored.phase
        return replace(self, stored=replace(self.stored, mapping=mapping, phase=phase))

    @property
    def view_name(self) -> str:
        """The name of the view in this phase, in the schema of what it stands for."""
        is_in_use = self.stored.phase in ("cutover", "published")
        return self.mapping.view_of.name if is_in_use else self.mapping.standby_name

    @property
    def physical_name(self) -> str:
        """The name of the legacy table in this phase, where there is one."""
        return self.mapping.retired_name if self.is_cutover else self.mapping.legacy.name

    @property
    def unfinished(self) -> str | None:
        """Why the data cannot be compared yet, or None.

        An empty legacy table needs no copy.
        """
        if self.stored.phase not in ("expanded", "copying"):
            return None
        found = self.conn.execute(
            f"SELECT EXISTS (SELECT FROM {self.stored.stated.legacy.sql})"
        ).fetchone()
        if found == (False,):
            return None
        return f"the copy is not finished; run: compat copy {self.mapping.name} --execute"

    def relation(self, schema: str, name: str) -> catalog.Relation | None:
        """Return a relation as the catalogue has it now, or None."""
        return catalog.find_exact(self.conn, schema, name)


class Disturbed(Exception):
    """A live application got in the way: the probes can be made again on a new snapshot.

    :param rows: the keys of the sampled rows that it is writing
    """

    def __init__(
        self,
        reason: str,
        sqlstate: str | None,
        *,
        is_lock: bool,
        rows: frozenset[tuple[str | None, ...]] = frozenset(),
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sqlstate = sqlstate
        self.is_lock = is_lock
        self.rows = rows


def shown(value: str | None, width: int = 60) -> str:
    """Return a value as people read it: quoted, on one line, without control characters."""
    return "NULL" if value is None else f"'{one_line(value, width)}'"


def one_line(text: str, width: int) -> str:
    """Return a text shortened to one line that no terminal takes for a command."""
    cut = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def plural(count: int, noun: str) -> str:
    """Return `1 row`, `2 rows`, `1,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
