"""The local evidence file: read first at start, so that a device without any database or network knows its licenses.

One file for all subjects: a thousand cameras cost one write. Nothing of it stays in memory: lease files are long. What
is in it is verified by the licensing service; here only its form is checked. Implements ``ports.licenses.BulkTier``.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.ports.licenses import SealedEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tapi_agent.domain.license import Evidence

_RESTORE: Final = "the billing service's next answer replaces it; without one, import a lease or restore the backup"


class FileEvidence:
    """Evidence of all subjects in one JSON object, by subject."""

    name: Final = "file"

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)

    async def load(self, subject: Subject) -> str | None:
        """What is kept on ``subject``."""
        return (await self.load_all()).get(subject)

    async def load_all(self) -> Mapping[Subject, str]:
        """All that is kept; a damaged file is set aside: ``IntegrityError``."""
        content = await self._file.read()
        try:
            return {_subject(key): sealed for key, sealed in _parse(content).items()}
        except (ValueError, TypeError) as error:
            self._file.set_aside(str(error))
            raise IntegrityError(f"{self._file.path} is damaged: {error}", fix=_RESTORE) from error

    async def save(self, evidence: Evidence, sealed: str) -> None:
        """Return when it is on disk."""
        await self.save_many([SealedEvidence(evidence=evidence, sealed=sealed)])

    async def save_many(self, words: Sequence[SealedEvidence]) -> None:
        """Likewise, in one write."""
        news = {_key(word.evidence.subject): word.sealed for word in words}
        await self._file.update(partial(self._merged, news))

    def _merged(self, news: Mapping[str, str], content: bytes | None) -> bytes:
        try:
            known = _parse(content)
        except ValueError as error:
            self._file.set_aside(str(error))
            known = {}
        return json.dumps({**known, **news}, separators=(",", ":")).encode()


def _key(subject: Subject) -> str:
    return json.dumps([subject.device_id, subject.tenant_id, subject.camera_id])


def _subject(key: str) -> Subject:
    device_id, tenant_id, camera_id = json.loads(key)
    return Subject(device_id=DeviceId(device_id), tenant_id=TenantId(tenant_id), camera_id=CameraId(camera_id))


def _parse(content: bytes | None) -> dict[str, str]:
    stored = {} if content is None else json.loads(content)
    if not isinstance(stored, dict) or not all(isinstance(sealed, str) for sealed in stored.values()):
        raise ValueError("not an object of strings")
    return stored
