"""docs/license-states.svg is drawn from the code; running this file as a program writes it anew."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from tapi_agent.domain.evaluation import RULES
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Contact, Durations, Evidence, LicenseMode, LicenseState, Subject
from tapi_agent.domain.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.timeline import Span

PICTURE: Final = Path(__file__).parents[3] / "docs" / "license-states.svg"
START: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
END: Final = START + timedelta(days=30)
UNTIL: Final = START + timedelta(days=99)
SUBJECT: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("gate"))
ORIGINS: Final = {"verified_at": START, "valid_until": END}
LENGTHS: Final = {field.name.replace("_", " "): field.default for field in fields(Durations)}

WIDTH, MARGIN, BAR, LINE = 720, 24, 56, 150
COLORS: Final = {
    LicenseState.VALID: "#bfe6c5",
    LicenseState.OFFLINE: "#c5dcf8",
    LicenseState.GRACE: "#fbe2a0",
    LicenseState.EXPIRED: "#f6c3bf",
}
STYLE: Final = (
    "text { font: 12px system-ui, sans-serif; fill: #1b1f24 }",
    ".head { font-size: 14px; font-weight: 600 }",
    ".state { font-size: 15px; font-weight: 600 }",
    ".small { font-size: 10px; fill: #424a53 }",
    "line { stroke: #1b1f24; stroke-width: 1.5 }",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One time line: what it shows, where it begins, and what it is computed from."""

    head: str
    begins: tuple[str, str]
    valid_until: datetime | None
    contact: Contact

    def spans(self) -> Sequence[Span]:
        evidence = Evidence(subject=SUBJECT, mode=LicenseMode.BASE, verified_at=START, valid_until=self.valid_until)
        return timeline(evidence, start=START, until=UNTIL, contact=self.contact)


LINES: Final = (
    Line(
        head="Silence: the billing service stops answering",
        begins=("verified_at", "the last answer"),
        valid_until=None,
        contact=Contact(attempted=True),
    ),
    Line(
        head="The license ends while the billing service answers",
        begins=("", ""),
        valid_until=END,
        contact=Contact(attempted=True, lost_at=UNTIL),
    ),
)


def picture() -> str:
    height = len(LINES) * LINE + 30
    body = [part for number, line in enumerate(LINES) for part in drawn(line, top=16 + number * LINE)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
            f'     width="{WIDTH}" height="{height}" role="img" aria-labelledby="title">',
            '<title id="title">The states of a license as time passes</title>',
            "<style>",
            *(f"  {rule}" for rule in STYLE),
            "</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
            *body,
            text(WIDTH - MARGIN, height - 12, "not to scale", "small", anchor="end"),
            "</svg>",
            "",
        ]
    )


def drawn(line: Line, *, top: int) -> list[str]:
    spans = line.spans()
    wide = (WIDTH - 2 * MARGIN) // len(spans)
    parts = [text(MARGIN, top + 16, line.head, "head")]
    for number, span in enumerate(spans):
        x = MARGIN + number * wide
        labels = (sum_of(span), names_of(span)) if number else line.begins
        parts += [*box(span, x, top + 28, wide), *mark(labels, x, top + 28)]
    return parts


def box(span: Span, x: int, y: int, wide: int) -> list[str]:
    middle = x + wide // 2
    return [
        f'<rect x="{x}" y="{y}" width="{wide}" height="{BAR}" fill="{COLORS[span.state]}"/>',
        text(middle, y + 25, span.state, "state", anchor="middle"),
        text(middle, y + 43, span.reason, "small", anchor="middle"),
    ]


def mark(labels: tuple[str, str], x: int, y: int) -> list[str]:
    """Where a state begins, and when that is; nothing where the line has no beginning."""
    if not labels[0]:
        return []
    return [
        f'<line x1="{x}" y1="{y - 4}" x2="{x}" y2="{y + BAR + 12}"/>',
        text(x, y + BAR + 26, labels[0]),
        text(x, y + BAR + 41, labels[1], "small"),
    ]


def text(x: int, y: int, words: str, kind: str = "", *, anchor: str = "") -> str:
    more = f' class="{kind}"' * bool(kind) + f' text-anchor="{anchor}"' * bool(anchor)
    return f'<text x="{x}" y="{y}"{more}>{words}</text>'


def terms(span: Span) -> list[str]:
    """The instant at which a span begins, as its rule has it: an origin, and what is added to it."""
    when = next(rule.when for rule in RULES if (rule.row, rule.reason) == (span.row, span.reason))
    found = re.search(r"t ≥ ([a-z_]+(?: \+ (?:[a-z]+ ?)+?)*)(?= and |,|$)", when)
    assert found, when
    return found[1].split(" + ")


def sum_of(span: Span) -> str:
    origin, *added = terms(span)
    return " + ".join([origin, *(amount(LENGTHS[name]) for name in added)])


def names_of(span: Span) -> str:
    return " + ".join(terms(span)[1:]) or "paid time is over"


def amount(length: timedelta) -> str:
    day, hour = timedelta(days=1), timedelta(hours=1)
    return f"{length // day} d" if length > day and not length % day else f"{length // hour} h"


def test_the_picture_is_what_the_code_says() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.head)
def test_a_label_names_the_instant_that_the_timeline_computes(line: Line) -> None:
    for span in line.spans()[1:]:
        origin, *added = terms(span)
        assert span.at == sum((LENGTHS[name] for name in added), ORIGINS[origin])


def test_it_shows_both_ways_to_expired() -> None:
    words = ["".join(element.itertext()) for element in ET.fromstring(picture()).iter()]  # noqa: S314 - our own
    assert [word for word in words if word in set(LicenseState)] == [
        *("valid", "offline", "grace", "expired"),
        *("valid", "grace", "expired"),
    ]
    times = ["+ 1 h", "+ 24 h", "+ 24 h + 7 d"]
    assert [word for word in words if word.startswith(("verified_at +", "valid_until"))] == [
        *(f"verified_at {time}" for time in times),
        *("valid_until", "valid_until + 14 d"),
    ]


def test_it_can_be_read_in_an_editor() -> None:
    assert max(len(line) for line in picture().splitlines()) <= 100


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
