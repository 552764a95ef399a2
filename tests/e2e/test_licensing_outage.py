"""A day without the billing service, compressed: full function to the last instant, and back at the first word."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest
from e2e_tools import settings_for

from tapi_agent.domain.license import LicenseState
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

PAID = "analytics.near_miss"
CAMERAS = ("cam-01", "cam-02")
HOUR, TICK = timedelta(hours=1), timedelta(seconds=1)
FRESHNESS, ALLOWANCE, OFFLINE_GRACE = timedelta(seconds=1), timedelta(seconds=4), timedelta(seconds=3)
EDGES = "SELECT camera_id, old_state, new_state, reason, changed_at FROM license_validation_log ORDER BY entry_id"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """May this camera use what was paid for: when it was decided, on which word of the service, and how."""

    camera: str
    at: datetime
    heard: datetime
    state: LicenseState
    allowed: bool
    warning: str | None

    @classmethod
    def of(cls, camera: str, decision: dict[str, Any]) -> Self:
        heard = decision["freshness"]["verified_at"]
        return cls(
            camera=camera,
            at=datetime.fromisoformat(decision["evaluated_at"]),
            heard=datetime.fromisoformat(heard),
            state=LicenseState(decision["state"]),
            allowed=decision["allowed"],
            warning=decision["warning"],
        )


@dataclass
class Application:
    """A program on the box that asks about every camera, all the time."""

    agent: AgentProcess
    answers: list[Answer] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        with self.agent.client() as client:
            while not self.over.is_set():
                self.answers += [Answer.of(camera, client.check(PAID, camera)) for camera in CAMERAS]

    def sees(self, state: LicenseState) -> None:
        """Wait until both the answers and the lifecycle have come to this state."""
        wait_until(
            lambda: {one.state for one in self.answers[-len(CAMERAS) :]} == {state}, within=30, what=f"all {state}"
        )
        self.agent.wait_for(lambda s: s["cameras"][state] == len(CAMERAS), within=30, what=f"lifecycle {state}")

    def of(self, camera: str) -> list[Answer]:
        return [one for one in self.answers if one.camera == camera]

    def longest_pause(self) -> timedelta:
        """How long the agent, or this program, was held up by other work on the machine."""
        return max(later.at - earlier.at for earlier, later in pairwise(self.answers))


@contextmanager
def application_on(agent: AgentProcess) -> Iterator[Application]:
    application = Application(agent)
    thread = threading.Thread(target=application.ask)
    thread.start()
    try:
        yield application
    finally:
        application.over.set()
        thread.join()


def outage(service: SandboxProcess, application: Application) -> None:
    """The service is gone until everything has run out, then back."""
    application.sees(LicenseState.VALID)
    service.kill()
    for state in (LicenseState.OFFLINE, LicenseState.GRACE, LicenseState.EXPIRED):
        application.sees(state)
    service.start()
    application.sees(LicenseState.VALID)


@pytest.mark.parametrize("kind", ["classic", "signed"])
def test_full_function_through_the_whole_allowance_and_at_once_after_it(
    kind: str, service: SandboxProcess, launch: Callable[..., AgentProcess], database_dsn: str, valkey_url: str
) -> None:
    service.admin.packs(service.tenant, enable=["advanced_analytics"])
    compressed = {
        "LICENSE_CACHE_TTL_SECONDS": f"{FRESHNESS.total_seconds()}",
        "OFFLINE_GRACE_PERIOD_HOURS": f"{ALLOWANCE / HOUR}",
        "LICENSE_OFFLINE_GRACE_HOURS": f"{OFFLINE_GRACE / HOUR}",
    }
    if kind == "signed":
        terms = {"freshness_s": FRESHNESS, "term_s": ALLOWANCE, "offline_grace_s": OFFLINE_GRACE}
        service.admin.leases(service.tenant, **{name: int(span.total_seconds()) for name, span in terms.items()})
        compressed = {
            "LICENSE_CACHE_TTL_SECONDS": f"{FRESHNESS.total_seconds()}",
            "TRUSTED_KEYS": service.admin.trusted_keys(),
        }
    agent = launch(settings_for(service, POSTGRES_DSN=database_dsn, REDIS_URL=valkey_url, **compressed))
    agent.start()
    agent.wait_for(lambda s: s["cameras"]["valid"] == len(CAMERAS), within=20, what="all valid")
    with application_on(agent) as application:
        outage(service, application)
    agent.stop()
    with psycopg.connect(database_dsn) as connection:
        edges = connection.execute(EDGES).fetchall()
    for camera in CAMERAS:
        answers = application.of(camera)
        last_word = min(one.heard for one in answers if one.state is LicenseState.GRACE)
        ends = last_word + ALLOWANCE, last_word + ALLOWANCE + OFFLINE_GRACE
        judge_answers([one for one in answers if one.heard == last_word], ends)
        back = [one for one in answers if one.heard > last_word]
        assert back
        assert {(one.state, one.allowed) for one in back} == {(LicenseState.VALID, True)}
        judge_edges([edge[1:] for edge in edges if edge[0] == camera], ends, slack=2 * application.longest_pause())


def judge_answers(answers: list[Answer], ends: tuple[datetime, datetime]) -> None:
    """No answer takes anything away before its time, and the one after the first in time is as the table says."""
    overrun, limit = ends
    for one in answers:
        assert one.state.severity <= (one.at >= overrun) + (one.at >= limit) + 1
        assert one.allowed == (one.state is not LicenseState.EXPIRED)
        assert bool(one.warning) == (one.state is LicenseState.GRACE)
    for earlier, later in pairwise(answers):
        if earlier.at >= overrun:
            assert later.state.severity >= LicenseState.GRACE.severity
        if earlier.at >= limit:
            assert later.state is LicenseState.EXPIRED


def judge_edges(edges: list[tuple[Any, ...]], ends: tuple[datetime, datetime], *, slack: timedelta) -> None:
    """The lifecycle comes by the same deadlines, within one tick of the agent's loop."""
    assert [edge[:3] for edge in edges[-4:]] == [
        ("valid", "offline", "AUTHORITY_UNREACHABLE"),
        ("offline", "grace", "OFFLINE_OVERRUN"),
        ("grace", "expired", "OFFLINE_LIMIT"),
        ("expired", "valid", "OK"),
    ]
    for (*_, came), due in zip(edges[-3:-1], ends, strict=True):
        assert due <= came <= due + TICK + slack
