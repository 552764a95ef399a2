"""What an import came to: by table, by file, and together."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.importing.quarantine import SetAside

_EXAMPLES: Final = 3
_MODULUS: Final = 2**64


class Outcome(StrEnum):
    """What became of a file."""

    IMPORTED = "imported"
    """All of it is in the database: its rows in the tables, what was unfit in quarantine."""
    KNOWN = "known before"
    """These bytes were imported before."""
    QUARANTINED = "quarantined"
    """The file as a whole is unfit."""
    FAILED = "failed"
    """Nothing of it was written; ``detail`` says why. To be tried again."""
    UNKNOWN = "not ours"
    """No name of the old application's; left alone."""


@dataclass(slots=True, kw_only=True)
class TableReport:
    """Rows of one old table: ``read`` = ``imported`` + ``known`` (stored before, the same) + ``quarantined``.

    ``checksum`` is that of the rows that are stored, equal on both sides.
    """

    read: int = 0
    imported: int = 0
    known: int = 0
    quarantined: int = 0
    checksum: int = 0

    def add(self, *, imported: int, stored: int, checksum: int) -> None:
        """Count ``stored`` rows that are in the database now, of which ``imported`` were not there before."""
        self.imported += imported
        self.known += stored - imported
        self.checksum = (self.checksum + checksum) % _MODULUS

    def figures(self) -> dict[str, object]:
        """Everything, for the record and for machines; the checksum in hex, as no reader rounds that."""
        return asdict(self) | {"checksum": f"{self.checksum:016x}"}


@dataclass(slots=True, kw_only=True)
class FileReport:
    """One file of the folder.

    ``held`` is how much of it is in quarantine, whenever it came there; ``examples`` of what came there now, without
    the content.
    """

    name: str
    size: int
    outcome: Outcome
    detail: str = ""
    tables: dict[str, TableReport] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    examples: list[SetAside] = field(default_factory=list)
    held: int = 0

    def set_aside(self, rows: Sequence[SetAside]) -> None:
        """Count what goes into quarantine."""
        for row in rows:
            self.codes[row.flaw.code] += 1
            if row.row_number is not None:
                self.tables[row.table].quarantined += 1
        self.examples += [replace(row, content=b"") for row in rows[: _EXAMPLES - len(self.examples)]]

    def figures(self) -> dict[str, dict[str, object]]:
        """The tables' counts, for the record and for machines."""
        return {name: table.figures() for name, table in self.tables.items()}

    @property
    def clean(self) -> bool:
        """Whether nothing of it is left to look after."""
        return self.outcome is not Outcome.FAILED and not self.held


def totals(files: Sequence[FileReport]) -> Mapping[str, TableReport]:
    """By old table, over all files."""
    sums: dict[str, TableReport] = {}
    for file in files:
        for name, table in file.tables.items():
            whole = sums.setdefault(name, TableReport())
            whole.read += table.read
            whole.quarantined += table.quarantined
            whole.add(imported=table.imported, stored=table.imported + table.known, checksum=table.checksum)
    return sums
