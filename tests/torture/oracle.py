"""The oracle: what applications offered, and what they were told is recorded, in a file that no agent knows of.

An offer is on the disk before it is sent; it counts as acknowledged when its caller has the answer. Key and time of an
event are fixed with the offer, so a caller who got no answer may send it again, unless it is ``raw``.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.torture.judge import seen_in

from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from tests.torture.judge import Seen

UNITS: Final = {"api_call": "calls", "llm_tokens": "tokens", "storage_gb_days": "gb_days"}
STEP: Final = timedelta(milliseconds=7)
"""Between two events."""

Draft = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the file says: every offer, and the event id of each that was acknowledged, by mark."""

    offered: dict[str, Seen]
    acknowledged: dict[str, str]


class Oracle:
    """Writes to ``path``; events are of ``tenant``, drawn by ``seed``, and happen from ``begin`` on."""

    def __init__(self, path: Path, *, tenant: str, seed: int, begin: datetime = START) -> None:
        self._path = path
        self._tenant = tenant
        self._random = Random(seed)  # noqa: S311 - a plan must repeat
        self._begin = begin
        self._number = 0
        self._open: dict[str, Draft] = {}
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """The file stays."""
        self._file.close()

    @property
    def now(self) -> datetime:
        """When the next event happens."""
        return self._begin + self._number * STEP

    def advance(self, by: timedelta) -> None:
        """So long nothing happens."""
        self._begin += by

    def offer(self, number: int, *, raw: bool = False, **fields: object) -> list[Draft]:
        """So many new drafts, as the API takes them; a ``raw`` one has no key, and may be sent once only."""
        with self._lock:
            drafts = [self._draft() | fields for _ in range(number)]
            self._write({"offer": draft} for draft in drafts)
            if raw:
                return [{name: value for name, value in draft.items() if name != "dedupe_key"} for draft in drafts]
            self._open |= {draft["resource_id"]: draft for draft in drafts}
        return drafts

    def unanswered(self) -> list[Draft]:
        """Offers that nobody has acknowledged, to be sent again."""
        with self._lock:
            return list(self._open.values())

    def acknowledge(self, drafts: Sequence[Draft], event_ids: Sequence[str]) -> None:
        """The agent has answered with these ids, in the order of the drafts."""
        pairs = [(draft["resource_id"], event_id) for draft, event_id in zip(drafts, event_ids, strict=True)]
        with self._lock:
            self._write({"mark": mark, "event_id": event_id} for mark, event_id in pairs)
            for mark, _ in pairs:
                self._open.pop(mark, None)

    def known(self) -> Known:
        """Read back from the file."""
        entries = list(self._entries())
        acknowledged = {entry["mark"]: entry["event_id"] for entry in entries if "mark" in entry}
        offered = [replace(seen_in(entry["offer"]), event_id="") for entry in entries if "offer" in entry]
        return Known(offered={one.mark: one for one in offered}, acknowledged=acknowledged)

    def _entries(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self._path.read_text().splitlines())

    def _write(self, entries: Iterator[dict[str, Any]]) -> None:
        self._file.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
        os.fsync(self._file.fileno())

    def _draft(self) -> Draft:
        number, at = self._number, self.now
        self._number += 1
        meter = self._random.choice(list(UNITS))
        mark = f"{self._tenant}/{number}"
        return {
            "tenant_id": self._tenant,
            "event_type": meter,
            "unit": UNITS[meter],
            "quantity": f"{self._random.randrange(10**6)}.{self._random.randrange(1, 10**9):09}",
            "resource_id": mark,
            "dedupe_key": mark,
            "event_time": at.isoformat(),
            "metadata": {"n": number, "text": 'ä\n"x" \\ €', "share": self._random.randrange(10**6) / 64},
        }
