from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from tapi_agent.cli import spans
from tapi_agent.cli.spans import bar, show_spans

STATES = ("valid", "offline", "grace", "expired")
DAYS = ("01", "02", "03", "10")
SPANS = [
    {"at": f"2027-03-{day}T12:00:00Z", "state": state, "reason": "OK"} for day, state in zip(DAYS, STATES, strict=True)
]
UNTIL = "2027-03-31T12:00:00Z"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch):
    """What is printed, on a terminal or not."""

    def show(until: str | None = UNTIL, *, terminal: bool) -> list[str]:
        out = io.StringIO()
        colors = "standard" if terminal else None
        console = Console(file=out, force_terminal=terminal, width=80, color_system=colors, highlight=False)
        monkeypatch.setattr(spans, "console", console)
        show_spans(SPANS, until)
        return [line.rstrip() for line in out.getvalue().splitlines()]

    return show


def test_plain_output_is_the_table_alone(shown) -> None:
    assert shown(terminal=False) == [
        "FROM                     STATE    REASON",
        "2027-03-01 12:00:00 UTC  valid    OK",
        "2027-03-02 12:00:00 UTC  offline  OK",
        "2027-03-03 12:00:00 UTC  grace    OK",
        "2027-03-10 12:00:00 UTC  expired  OK",
        "",
    ]


def test_a_terminal_gets_a_bar_in_color_with_dates(shown) -> None:
    blocks, dates, end = shown(terminal=True)[-3:]
    assert [(color, len(run)) for color, run in re.findall(r"\x1b\[(\d+)m(█+)", blocks)] == [
        ("32", 2),
        ("36", 2),
        ("33", 17),
        ("31", 51),
    ]
    assert (dates, end) == ("2027-03-01           2027-03-10" + " " * 31 + "2027-03-31", "")


def test_without_an_end_there_is_no_bar(shown) -> None:
    assert not any("█" in line for line in shown(None, terminal=True))


def test_where_nothing_lasts_there_is_no_bar() -> None:
    assert bar(SPANS[:1], SPANS[0]["at"], 72) == ()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=10), st.integers(20, 72))
def test_a_bar_is_as_wide_as_asked_and_every_span_is_seen(lasting: list[int], width: int) -> None:
    ends = list(accumulate(lasting))
    starts = [0, *ends[:-1]]
    many = [{"at": _date(start), "state": STATES[i % 4], "reason": "OK"} for i, start in enumerate(starts)]
    blocks, dates = bar(many, _date(ends[-1]), width)
    assert len(Text.from_markup(blocks)) == len(dates) == width
    assert re.fullmatch(r"(\[\w+\]█+\[/\])+", blocks)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
