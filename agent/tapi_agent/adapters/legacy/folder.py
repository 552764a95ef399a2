"""A folder of old SQLite files: which there are, their fingerprints, a private copy where one is needed.

A file at rest is opened as it is, ``immutable``: SQLite then neither locks it nor writes a -shm beside it. A file with
a journal has content outside of it, and reading it through SQLite would work the journal in: that is done to a copy.
That nothing changes a file meanwhile is for the caller to see, by its fingerprint.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.legacy.database import LegacyDatabase
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.importing.tables import CONFIG, TELEMETRY
from tapi_agent.ports.imports import OldFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.domain.importing.tables import OldTable

_JOURNALS: Final = ("-wal", "-journal")
_BESIDE: Final = (*_JOURNALS, "-shm")
_AT_ONCE: Final = 1024 * 1024


class LegacyFolder:
    """Implements ``ports.imports.OldFolder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self) -> Sequence[OldFile]:
        """config.db first, then telemetry by name; what belongs to a database, such as its -wal, is no file of its own.

        Raises ``InvalidInputError`` when there is no such folder.
        """
        try:
            entries = sorted(self._folder.iterdir())
        except OSError as error:
            raise InvalidInputError(
                f"{self._folder} cannot be listed: {error.strerror}",
                code="bad_parameter",
                fix="name the folder that holds config.db and telemetry_<camera>.db",
            ) from error
        found = [_old_file(entry) for entry in entries if not entry.name.endswith(_BESIDE)]
        return sorted(found, key=lambda file: (not file.tables, file.tables != CONFIG, file.name))

    def fingerprint(self, file: OldFile) -> bytes:
        """SHA-256 of the file's bytes, then of those of its journals."""
        digest = hashlib.sha256()
        for path in (self._folder / file.name, *self._journals(file)):
            with path.open("rb") as content:
                while part := content.read(_AT_ONCE):
                    digest.update(part)
        return digest.digest()

    @contextmanager
    def open(self, file: OldFile) -> Iterator[LegacyDatabase]:
        """The file itself, or its copy when a journal is beside it."""
        with tempfile.TemporaryDirectory(prefix="tapi-import-") as private:
            path, journals = self._folder / file.name, self._journals(file)
            for one in (path, *journals) if journals else ():
                shutil.copyfile(one, Path(private, one.name))
            database = (
                LegacyDatabase(Path(private, file.name), mode="mode=rw")
                if journals
                else LegacyDatabase(path, mode="mode=ro&immutable=1")
            )
            with closing(database):
                database.verify()
                yield database

    def _journals(self, file: OldFile) -> list[Path]:
        """Those that hold anything."""
        beside = [self._folder / f"{file.name}{suffix}" for suffix in _JOURNALS]
        return [path for path in beside if path.is_file() and path.stat().st_size]


def _old_file(path: Path) -> OldFile:
    """By its name; a link or a device is nobody's data."""
    found = path.lstat()
    tables = _tables(path.name) if stat.S_ISREG(found.st_mode) else ()
    return OldFile(name=path.name, size=found.st_size, tables=tables)


def _tables(name: str) -> Sequence[OldTable]:
    if name == "config.db":
        return CONFIG
    return TELEMETRY if name.startswith("telemetry_") and name.endswith(".db") else ()
