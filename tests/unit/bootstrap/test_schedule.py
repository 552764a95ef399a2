from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tapi_agent.bootstrap import assemble
from tapi_agent.services.licensing.reminder import Reminder
from tapi_agent.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a socket's path may have a hundred bytes."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as path:
        yield Path(path)


async def test_cameras_in_grace_are_looked_for_every_hour(folder: Path) -> None:
    places = {"TAPI_STATE_DIR": str(folder), "TAPI_SOCKET": str(folder / "api.sock")}
    agent = assemble(load(places, folder))
    for opened in agent.sockets:
        opened.close()
    (job,) = [
        job for job in agent.scheduler._jobs.values() if isinstance(getattr(job.verb, "__self__", None), Reminder)
    ]
    assert (job.name, job.interval) == ("grace-reminder", timedelta(hours=1))
    assert await job.verb() is None
