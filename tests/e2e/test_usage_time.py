"""Usage while the wall clock is stepped, across the end of a month, and from a box that was copied: billed once."""

from __future__ import annotations

import subprocess
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from e2e_tools import BACKLOG, all_up, billed, record, settings_for, settle

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.domain.ids import EventId, trusted_ms
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e_tools import Wall

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEPS: Final = (HOUR, -HOUR, 40 * DAY, -400 * DAY, timedelta(0))


def test_steps_of_the_wall_clock_lose_and_double_nothing(
    service: SandboxProcess, launch: Callable[..., AgentProcess], wall: Wall
) -> None:
    agent = launch(settings_for(service, USAGE_BATCH_SIZE="7", **wall.settings))
    agent.start()
    agent.wait_for(all_up, within=60, what="everything up")
    recorded = record(agent)
    for ahead in STEPS:
        wall.set(ahead)
        recorded += record(agent)
        if ahead < timedelta(0):
            agent.kill()
            agent.start()
            recorded += record(agent)
        enough = len(billed(service)) + 1
        wait_until(lambda enough=enough: len(billed(service)) >= enough, within=60, what="sending goes on")
        recorded += record(agent)
    settle(agent, within=60)
    times = [trusted_ms(EventId(UUID(one))) for one in recorded]
    assert times == sorted(times)
    assert billed(service) == Counter(recorded)


def test_a_month_that_ends_within_a_batch_is_billed_once(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service, USAGE_KEEP_DAYS="90"))
    agent.start()
    agent.wait_for(all_up, within=60, what="everything up")
    now = SystemClock().wall()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    moment = timedelta(milliseconds=1)
    moments = [month - 31 * DAY, month - moment, month, now, now + 23 * HOUR]
    drafts = [keyed(number, at.isoformat()) for number, at in enumerate(moments)]
    with agent.client() as client:
        first, again = (client.record_many(drafts)["results"] for _ in range(2))
    recorded = [one["event_id"] for one in first]
    assert [one["event_id"] for one in again] == recorded
    settle(agent, within=60)
    assert billed(service) == Counter(recorded)


def keyed(number: int, event_time: str) -> dict[str, Any]:
    """A draft that may be recorded twice and counts once."""
    return {"event_type": "api_call", "quantity": 1, "dedupe_key": f"key-{number}", "event_time": event_time}


@pytest.mark.parametrize(
    "classic",
    [
        pytest.param(False, id="deduping"),
        pytest.param(True, id="classic"),
    ],
)
def test_a_copied_box_bills_nothing_twice(
    service: SandboxProcess, launch: Callable[..., AgentProcess], *, classic: bool
) -> None:
    dialect = [{"action": "classic_only", "path": "*"}] if classic else []
    service.admin.faults(*dialect, {"action": "status", "status": 503, "path": "*/usage/batch"})
    original = launch(settings_for(service), name="a")
    original.start()
    original.wait_for(all_up, within=60, what="everything up")
    recorded = record(original, 30)
    original.stop()
    assert not billed(service)
    copy = launch(settings_for(service, EDGE_DEVICE_ID="box-2"), name="b")
    copy.directory.mkdir()
    subprocess.run(["cp", "-a", original.directory / "state", copy.directory], check=True)
    service.admin.clear_faults()
    service.admin.faults(*dialect)
    for box in (copy, original):
        box.start()
    recorded += record(original, 5) + record(copy, 5)
    copy.wait_for(all_up, within=60, what="the copy's engines up")
    settle(original, within=60)
    wait_until(lambda: set(recorded) <= set(billed(service)), within=60, what="everything billed")
    copy.wait_for(lambda seen: not any(seen["usage"][name] for name in BACKLOG[:3]), within=20, what="the copy at rest")
    assert billed(service) == Counter(recorded)
