"""The story: valid, offline, grace, expired and valid again, usage recorded throughout, and the ledger at the end."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.cli.demo.proof import Acknowledged, Proof, prove
from tapi_agent.cli.demo.screen import Screen
from tapi_agent.cli.demo.stage import CAMERAS, Stage
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PATIENCE: Final = 40.0
_FEATURES: Final = ("analytics.heatmap", "analytics.privacy_mask")
_USAGE: Final = (("api_call", Decimal(1)), ("llm_tokens", Decimal(1234)), ("storage_gb_days", Decimal("0.123456789")))
_USAGE_PATH: Final = "/api/v1/usage/batch"


def play(folder: Path, *, keep: bool) -> int:
    """Play it; 0 when the ledger agrees."""
    console.print("[bold]tapi-agent demo[/]: one box, five cameras, one billing service; hours are seconds today.")
    with Stage(folder, keep=keep) as stage:
        proof = Story(stage, Screen()).tell()
    if keep:
        console.print(f"Logs and databases are in {folder}.")
    return Exit.OK if proof.holds else Exit.DENIED


class Story:
    """The acts, in order; every event that the agent acknowledged is remembered for the proof."""

    def __init__(self, stage: Stage, screen: Screen) -> None:
        self._stage = stage
        self._screen = screen
        self._acknowledged: list[Acknowledged] = []

    def tell(self) -> Proof:
        """All of it."""
        self._start()
        self._validate()
        self._lose_a_reply()
        self._lose_the_service()
        self._get_it_back()
        return self._prove()

    def _start(self) -> None:
        self._screen.act("Start a billing service and the agent, with its own PostgreSQL and Valkey")
        with self._screen.waiting("starting ..."):
            self._stage.start()
        self._screen.say(f"the agent answers on its socket (pid {self._stage.agent.pid})")
        with self._screen.waiting("waiting for PostgreSQL and Valkey ..."):
            self._wait(lambda status: all(one["up"] for one in status["dependencies"]), "all dependencies up")
        self._screen.say("PostgreSQL, Valkey and the billing service are up; the schema is migrated")

    def _validate(self) -> None:
        self._screen.act("Validate five cameras")
        with self._stage.agent.client(timeout=10) as client:
            self._screen.cameras([client.validate(camera, wait=5) for camera in CAMERAS])
        self._see("valid")
        with self._screen.waiting("delivering ..."):
            self._settle()
        self._screen.say("delivered; the service answers event by event, so it can be trusted to know a repeat")

    def _lose_a_reply(self) -> None:
        self._screen.act("Lose a reply: the service stores a batch, and the connection breaks before it can say so")
        self._stage.service.admin.faults({"action": "drop_reply", "path": _USAGE_PATH, "times": 1})
        self._record("valid")
        with self._screen.waiting("sending, and sending again ..."):
            self._settle()
        sent = [one for one in self._stage.service.admin.requests()["recent"] if one["path"] == _USAGE_PATH]
        self._screen.say(f"{len(sent)} requests, {len({one['idempotency_key'] for one in sent})} idempotency keys")

    def _lose_the_service(self) -> None:
        self._screen.act("Kill the billing service (kill -9): nothing stops, deadlines pass one by one")
        self._stage.service.kill()
        for state in ("offline", "grace", "expired"):
            self._see(state)

    def _get_it_back(self) -> None:
        self._screen.act("Start the billing service again: one good answer restores everything")
        self._stage.service.start()
        self._see("valid")

    def _prove(self) -> Proof:
        self._screen.act("Prove the ledger: what the agent acknowledged against what the service billed")
        with self._screen.waiting("delivering the backlog ..."):
            self._settle()
        proof = prove(self._acknowledged, self._stage.service.admin.ledger())
        self._screen.proof(proof)
        return proof

    def _see(self, state: str) -> None:
        """Wait for the state, show what it means, and use the cameras in it."""
        with self._screen.waiting(f"waiting for {state} ..."):
            status = self._wait(lambda status: status["state"] == state, f"state {state}")
        self._screen.standing(status)
        with self._stage.agent.client() as client:
            self._screen.checks([client.check(feature, CAMERAS[0]) for feature in _FEATURES])
        self._record(state)

    def _record(self, state: str) -> None:
        with self._stage.agent.client() as client:
            for camera in CAMERAS:
                for meter, quantity in _USAGE:
                    reply = client.record(meter, quantity, camera_id=camera)
                    self._acknowledged.append(Acknowledged(event_id=reply["event_id"], meter=meter, quantity=quantity))
        self._screen.say(f"{len(CAMERAS) * len(_USAGE)} events recorded while {state}, each on disk when acknowledged")

    def _settle(self) -> None:
        """Wait until nothing is on its way."""
        with self._stage.agent.client(timeout=60) as client:
            wait_until(lambda: _is_empty(client.flush(), client.status()), within=_PATIENCE, what="backlog delivered")

    def _wait(self, condition: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        return self._stage.agent.wait_for(condition, within=_PATIENCE, what=what)


def _is_empty(_report: dict[str, Any], status: dict[str, Any]) -> bool:
    return not any(status["usage"][name] for name in ("spooled", "pending", "sealed", "ambiguous"))
