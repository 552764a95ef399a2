"""How far collecting has come, in a small JSON file. Implements ``ports.collected.CollectedStore``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.collection import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class FileCollected:
    """A list of rows: plugin, meter, since, asked. Not sealed: who may edit it may as well remove the plugin."""

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)

    async def load(self) -> Mapping[tuple[str, str], Progress]:
        """What was saved last. A damaged file is set aside, as if there were none."""
        content = await self._file.read()
        try:
            return {} if content is None else dict(map(_parse, json.loads(content)))
        except (ValueError, KeyError, TypeError) as error:
            self._file.set_aside(str(error))
            return {}

    async def save(self, progress: Mapping[tuple[str, str], Progress]) -> None:
        """Return when it is on disk."""
        await self._file.write(lambda: json.dumps([_row(*item) for item in progress.items()]).encode())


def _row(key: tuple[str, str], progress: Progress) -> dict[str, str | None]:
    plugin, meter = key
    asked = None if progress.asked is None else progress.asked.isoformat()
    return {"plugin": plugin, "meter": meter, "since": progress.since.isoformat(), "asked": asked}


def _parse(row: dict[str, Any]) -> tuple[tuple[str, str], Progress]:
    progress = Progress(since=_time(row["since"]), asked=_time(row["asked"]) if row["asked"] else None)
    return (row["plugin"], row["meter"]), progress


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return at
