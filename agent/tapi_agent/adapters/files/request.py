"""The open license request, sealed: whoever changes its nonce by hand is noticed. A ``ports.licenses.RequestStore``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.ports.licenses import OpenRequest

if TYPE_CHECKING:
    from pathlib import Path

    from tapi_agent.ports.seal import Seal

_PURPOSE: Final = "request/1"


class FileRequest:
    """The open request in a file of its own; no file, no open request."""

    def __init__(self, path: Path, *, key: Seal) -> None:
        self._file = DurableFile(path)
        self._key = key

    async def load(self) -> OpenRequest | None:
        """The open request. A damaged file is set aside: ``IntegrityError``."""
        content = await self._file.read()
        try:
            return None if content is None else _parse(self._key.unseal(content.decode(), purpose=_PURPOSE))
        except (IntegrityError, UnicodeDecodeError) as error:
            self._file.set_aside(str(error))
            raise IntegrityError(
                f"the open license request fails verification: {error}", fix="make another: tapi-agent license request"
            ) from error

    async def save(self, request: OpenRequest) -> None:
        """Return when it is on disk."""
        fields = {"nonce": request.nonce, "made_at": request.made_at.isoformat()}
        await self._file.write(lambda: self._key.seal(json.dumps(fields), purpose=_PURPOSE).encode())

    async def clear(self) -> None:
        """Return when it is gone."""
        await self._file.remove()


def _parse(payload: str) -> OpenRequest:
    fields = json.loads(payload)
    return OpenRequest(nonce=fields["nonce"], made_at=datetime.fromisoformat(fields["made_at"]))
