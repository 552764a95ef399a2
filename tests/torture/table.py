"""The table that ends a run of torture: what was done, and what was seen of the events."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest
    from tests.torture.judge import Evidence

DONE: Final = "torture: done"
SEEN: Final = "torture: seen"
_COLUMNS: Final = ("acknowledged", "billed", "dead letters", "held", "lost and told")


def seen_in_short(evidence: Evidence) -> dict[str, int]:
    """Numbers of events."""
    lost = sum(one.events for one in evidence.lost.values())
    numbers = len(evidence.acknowledged), len(evidence.billed), len(evidence.dead), len(evidence.held), lost
    return dict(zip(_COLUMNS, numbers, strict=True))


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each test, whatever its parameters were, and one for each thing that was done to it."""
    done: dict[str, Counter[str]] = defaultdict(Counter)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    for report in reports:
        name = report.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_").replace("_", " ")
        for what, numbers in report.user_properties:
            {DONE: done, SEEN: seen}.get(what, defaultdict(Counter))[name].update(numbers)
            seconds[name] += report.duration * (what == SEEN)
    for name, numbers in seen.items():
        counted = ", ".join(f"{number} {what}" for what, number in numbers.items() if number)
        yield f"{name} ({seconds[name]:.0f} s): {counted}"
        yield from (f"    {number:5} {what}" for what, number in sorted(done[name].items()))
