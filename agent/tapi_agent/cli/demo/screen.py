"""What the audience sees: numbered acts with the time since the start, spinners while something is awaited, tables."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tapi_agent.cli.output import console, state, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.cli.demo.proof import Proof


class Screen:
    """Prints one story."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._act = 0

    def act(self, title: str) -> None:
        """A new act."""
        self._act += 1
        console.print(f"\n[bold]{self._act}. {title}[/]")

    def say(self, text: str) -> None:
        """One remark, stamped with the seconds since the start; what does not fit goes on below itself."""
        line = Table.grid(padding=(0, 2))
        line.add_row(f"[dim]{time.monotonic() - self._began:7.1f} s[/]", text)
        console.print(line)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner with ``text`` while the block runs."""
        with console.status(text):
            yield

    def standing(self, document: dict[str, Any]) -> None:
        """Where the license stands and what comes next."""
        following = document["next_transition"]
        then = f"; next: {state(following['to'])} ({following['reason']})" if following else ""
        self.say(f"license {state(document['state'])} ({document['reason']}){then}")

    def cameras(self, licenses: Sequence[dict[str, Any]]) -> None:
        """One row for each camera."""
        rows = ((one["camera_id"], state(one["state"]), one["reason"], one["mode"], one["tier"]) for one in licenses)
        console.print(table(("CAMERA", "STATE", "REASON", "MODE", "EVIDENCE FROM"), rows))

    def checks(self, decisions: Sequence[dict[str, Any]]) -> None:
        """One line for each decision."""
        for one in decisions:
            word = "[green]allowed[/]" if one["allowed"] else "[red]denied[/]"
            self.say(f"{one['feature']} {word} ({one['reason']}) {one['warning'] or ''}".rstrip())

    def proof(self, proof: Proof) -> None:
        """The ledger, and the verdict."""
        rows = ((m.meter, m.events, m.recorded, m.lines, m.billed, _same(m.recorded == m.billed)) for m in proof.meters)
        columns = ("METER", "EVENTS RECORDED", "QUANTITY", "LINES BILLED", "QUANTITY", "")
        console.print(table(columns, rows))
        counts = f"{len(proof.missing)} missing, {len(proof.twice)} billed twice, {len(proof.strange)} unexplained"
        verdict = "[green]every event billed exactly once[/]" if proof.holds else "[red]the ledger does not agree[/]"
        self.say(f"{verdict}: {counts}")


def _same(equal: bool) -> str:  # noqa: FBT001 - a word for a truth value
    return "[green]equal[/]" if equal else "[red]differs[/]"
