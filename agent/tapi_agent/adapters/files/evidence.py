"""The local evidence file: read first at start, so that a device without any database or network knows its licenses.

One file for all subjects: a thousand cameras cost one write. What is in it is sealed and verified by the licensing
service; here only its form is checked. Implements ``ports.licenses.BulkTier``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.ports.licenses import SealedEvidence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tapi_agent.domain.license import Evidence, Subject


class FileEvidence:
    """Sealed evidence of all subjects in one JSON object, by subject."""

    name: Final = "file"

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)
        self._sealed: dict[str, str] = {}

    async def load(self, subject: Subject) -> str | None:
        """The sealed evidence of ``subject``."""
        await self.load_all()
        return self._sealed.get(_key(subject))

    async def load_all(self) -> Sequence[str]:
        """All sealed evidence; a damaged file is set aside and gives none."""
        content = await self._file.read()
        try:
            stored = {} if content is None else _parse(content)
        except ValueError as error:
            self._file.set_aside(str(error))
            stored = {}
        self._sealed = stored | self._sealed
        return list(stored.values())

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Return when it is on disk; calls at the same time share one write."""
        await self.save_many([SealedEvidence(evidence=evidence, sealed=sealed)])

    async def save_many(self, words: Sequence[SealedEvidence]) -> None:
        """Likewise, in one write."""
        self._sealed |= {_key(word.evidence.subject): word.sealed for word in words}
        await self._file.write(lambda: json.dumps(self._sealed, separators=(",", ":")).encode())


def _key(subject: Subject) -> str:
    return json.dumps([subject.device_id, subject.tenant_id, subject.camera_id])


def _parse(content: bytes) -> dict[str, str]:
    stored = json.loads(content)
    if not isinstance(stored, dict) or not all(isinstance(sealed, str) for sealed in stored.values()):
        raise ValueError("not an object of strings")
    return stored
