"""The words on single features in a sealed file: nobody grants himself one by hand. See ``ports.overrides``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.override import Override

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from tapi_agent.domain.ids import TenantId
    from tapi_agent.ports.seal import Seal

_PURPOSE: Final = "overrides/1"


class FileOverrides:
    """One JSON object under the seal of ``key``: the tenant, and its words."""

    def __init__(self, path: Path, *, key: Seal, tenant_id: TenantId) -> None:
        self._file = DurableFile(path)
        self._key = key
        self._tenant_id = tenant_id

    async def load(self) -> Sequence[Override]:
        """The words; none when they are another tenant's. A damaged file is set aside, as if there were none."""
        content = await self._file.read()
        try:
            return [] if content is None else self._words(content.decode())
        except (IntegrityError, ValueError, KeyError, TypeError) as error:
            self._file.set_aside(str(error))
            return []

    async def save(self, words: Collection[Override]) -> None:
        """Return when they are on disk."""
        document = {"tenant_id": self._tenant_id, "words": [_fields(word) for word in words]}
        payload = json.dumps(document, sort_keys=True, separators=(",", ":"))
        await self._file.write(lambda: self._key.seal(payload, purpose=_PURPOSE).encode())

    def _words(self, sealed: str) -> Sequence[Override]:
        document = json.loads(self._key.unseal(sealed, purpose=_PURPOSE))
        mine = document["tenant_id"] == self._tenant_id
        return [_override(fields) for fields in document["words"]] if mine else []


def _fields(word: Override) -> dict[str, object]:
    return {
        "feature": word.feature,
        "enabled": word.enabled,
        "asked_at": word.asked_at.isoformat(),
        "valid_until": word.valid_until and word.valid_until.isoformat(),
    }


def _override(fields: dict[str, Any]) -> Override:
    until = fields["valid_until"]
    return Override(
        feature=fields["feature"],
        enabled=fields["enabled"],
        asked_at=datetime.fromisoformat(fields["asked_at"]),
        valid_until=until and datetime.fromisoformat(until),
    )
