"""SIGKILL at several points of an import, and another run: nothing twice, nothing missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

BUSY: Final = (
    "SELECT 1 FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND query LIKE %s"
)
RECORDED: Final = "SELECT 1 FROM import_files HAVING count(*) >= %s"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param((BUSY, "%old_frames%"), id="while frames are staged"),
        pytest.param((BUSY, "%telemetry_events%"), id="while events are stored"),
        pytest.param((RECORDED, 1), id="after the configuration"),
        pytest.param((RECORDED, 3), id="after two cameras"),
    ],
)
def test_killed_and_run_again(
    make_old: Callable[..., Path],
    launch: Callable[[Path], subprocess.Popen[bytes]],
    command: Callable[..., subprocess.CompletedProcess[str]],
    sql: Any,
    differing: Any,
    moment: tuple[str, object],
) -> None:
    folder = make_old(cameras=4, events=9000)
    process = launch(folder)
    try:
        wait_until(lambda: sql(*moment), within=20, what="the moment to strike")
    finally:
        process.kill()
    assert process.wait() == -9
    assert len(sql("SELECT file_name FROM import_files")) < 5
    done = command(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert differing(folder) == []
    assert sql("SELECT count(*) AS files, count(DISTINCT file_name) AS names FROM import_files") == [
        {"files": 5, "names": 5}
    ]


def test_two_at_once_is_one_too_many(
    command: Callable[..., subprocess.CompletedProcess[str]], old: Path, sql: Any
) -> None:
    sql("SELECT pg_advisory_lock(hashtext('tapi-agent import'), hashtext('acme/box'))")
    done = command(old)
    assert done.returncode == 4
    assert "another import for this device is at work" in done.stderr
    sql("SELECT pg_advisory_unlock_all()")
    assert command(old).returncode == 0
