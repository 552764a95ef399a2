"""A scene of torture: one billing service, one database, agents on them, and an oracle that outlives them all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row
from tests.torture.judge import Evidence, Sum, add_up, plus, seen, verdicts
from tests.torture.process import Gone, LeanAgent
from tests.torture.runner import Order
from tests.torture.table import DONE, SEEN, seen_in_short

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

    from tests.torture.judge import Seen
    from tests.torture.oracle import Oracle

    from tapi_agent.sandbox.process import SandboxProcess

_DEADLINE: Final = 90.0
_MOST_DESCRIPTORS: Final = 100
_MOST_SPOOLED: Final = 32 * 1024**2
_UNDER_WAY: Final = ("spooled", "pending", "sealed", "ambiguous", "held")
_TOTALS: Final = """
    SELECT tenant_id, meter, sum(events + local_events) AS events, sum(quantity + local_quantity) AS quantity
    FROM usage_totals GROUP BY tenant_id, meter"""
_LOST: Final = """
    SELECT tenant_id, meter, sum(lost_events) AS events, sum(lost_quantity) AS quantity
    FROM usage_arrivals GROUP BY tenant_id, meter HAVING sum(lost_events) > 0"""

_NEVER_COUNTED: Final = "batch_id IS NULL"
"""Letters that died before they were rows: no total was ever meant to have them."""


@dataclass(kw_only=True)
class Scene:
    """``account`` is the tenant of the events, and of the service's key ``key``.

    ``done`` counts what befell them, ``told`` is for the table at the end of the run.
    """

    folder: Path
    dsn: str
    service: SandboxProcess
    account: str
    key: str
    oracle: Oracle
    agents: list[LeanAgent] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    told: list[tuple[str, object]] = field(default_factory=list)

    def agent(self, device: str = "box-1", *, url: str = "", dsn: str = "", **terms: Any) -> LeanAgent:
        """An agent that is not started; ``terms`` as of ``DeliveryTerms``."""
        order = Order(
            dsn=dsn or self.dsn,
            spool=self.folder / device / "spool.db",
            log=self.folder / f"{device}.log",
            url=url or self.service.url,
            key=self.key,
            device=device,
            terms=terms,
        )
        self.agents.append(LeanAgent(order))
        return self.agents[-1]

    def faults(self, *rules: Mapping[str, object]) -> None:
        """Rules for usage batches."""
        self.service.admin.faults(*({"path": "*/usage/batch", **rule} for rule in rules))

    def record(self, agent: LeanAgent, number: int, **fields: object) -> bool:
        """Offer so many events, and whatever nobody has answered yet; false when the agent died before it answered."""
        self.oracle.offer(number, **fields)
        drafts = self.oracle.unanswered()
        try:
            self.oracle.acknowledge(drafts, agent.record(drafts))
        except Gone:
            return False
        return True

    def advance(self, by: timedelta) -> None:
        """So much time passes for everyone who is alive."""
        self.oracle.advance(by)
        for agent in self.agents:
            agent.advance(by)

    def settle(self, *agents: LeanAgent, within: float = _DEADLINE) -> None:
        """Wait until nothing is on its way; faults have ended."""

        def empty() -> bool:
            for agent in agents or self.agents:
                agent.ask("flush")
            return not any(agent.ask("backlog")[name] for agent in agents or self.agents for name in _UNDER_WAY)

        try:
            wait_until(empty, within=within, what="everything delivered")
        except TimeoutError as error:
            told = [(agent.ask("backlog"), agent.log()) for agent in agents or self.agents]
            raise TimeoutError(f"{error}: {told}") from error

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Rows of the database."""
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(statement).fetchall()

    def billed(self) -> list[Seen]:
        """The ledger of the service, line by line."""
        return [seen(line["event"]) for line in self.service.admin.ledger() if line["account"] == self.account]

    def refusals(self) -> list[dict[str, Any]]:
        """Batches that the service has answered with an error."""
        recent = self.service.admin.requests()["recent"]
        return [one for one in recent if one["path"].endswith("/usage/batch") and (one["status"] or 0) >= 400]

    def evidence(self) -> Evidence:
        """All that can be seen from outside."""
        known = self.oracle.known()
        return Evidence(
            offered=known.offered,
            acknowledged=known.acknowledged,
            billed=self.billed(),
            dead=self._dead(),
            held=self._held(),
            totals=self._totals(),
            recorded=plus(_sums(self.query(_TOTALS)), add_up(self._dead(_NEVER_COUNTED))),
            lost=_sums(self.query(_LOST)),
        )

    def judge(self) -> None:
        """Fail with everything that is wrong."""
        evidence = self.evidence()
        assert evidence.acknowledged, "nothing was acknowledged: this proves nothing"
        self.told += [(SEEN, seen_in_short(evidence)), (DONE, dict(self.done))]
        wrong = "\n".join(verdicts(evidence))
        assert not wrong, wrong

    def end_well(self, agent: LeanAgent) -> None:
        """The faults are over: all that waits goes out, a fresh event goes through, and nothing is wrong."""
        assert self.record(agent, 1)
        self.settle()
        self.judge()
        newest = max(self.oracle.known().acknowledged, key=lambda mark: int(mark.rpartition("/")[2]))
        assert newest in {line.mark for line in self.billed()}
        assert agent.descriptors() < _MOST_DESCRIPTORS
        assert sum(file.stat().st_size for file in agent.spool.glob("*.db*")) < _MOST_SPOOLED

    def _dead(self, which: str = "true") -> list[Seen]:
        letters = self.query(f"SELECT event FROM usage_dead_letters WHERE {which}")  # noqa: S608 - written here
        return [seen(bytes(row["event"])) for row in letters]

    def _held(self) -> list[Seen]:
        waiting = "SELECT canonical FROM usage_events WHERE state IN ('pending', 'sealed')"
        return [seen(row["canonical"]) for row in self.query(waiting)]

    def _totals(self) -> dict[tuple[str, str], Sum]:
        rows = [row for row in self.service.admin.totals() if row["tenant_id"] == self.account]
        return {(row["tenant_id"], row["event_type"]): Sum(row["count"], Decimal(row["quantity"])) for row in rows}


def _sums(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Sum]:
    return {(row["tenant_id"], row["meter"]): Sum(int(row["events"]), row["quantity"]) for row in rows}
