"""The mark of trusted time, sealed: whoever turns it back by hand is noticed. Implements ``ports.clock.MarkStore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.mark_form import PURPOSE, format_mark, parse_mark

if TYPE_CHECKING:
    from pathlib import Path

    from tapi_agent.domain.trusted_time import Mark
    from tapi_agent.ports.seal import Seal


class FileMark:
    """The mark in a file of its own."""

    def __init__(self, path: Path, *, key: Seal) -> None:
        self.name = "file"
        self._file = DurableFile(path)
        self._key = key

    async def load(self) -> Mark | None:
        """The mark; ``None`` when there is no file. A damaged file is set aside: ``IntegrityError``."""
        content = await self._file.read()
        try:
            return None if content is None else parse_mark(self._key.unseal(content.decode(), purpose=PURPOSE))
        except (IntegrityError, UnicodeDecodeError) as error:
            self._file.set_aside(str(error))
            raise IntegrityError(f"the mark of trusted time fails verification: {error}") from error

    async def save(self, mark: Mark) -> None:
        """Return when it is on disk."""
        await self._file.write(lambda: self._key.seal(format_mark(mark), purpose=PURPOSE).encode())
