"""docs/license-states.md is drawn from the code; running this file as a program writes it anew."""

from __future__ import annotations

import inspect
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Final

from tapi_agent.domain import lifecycle
from tapi_agent.domain.evaluation import EXPIRING, RULES, Rule
from tapi_agent.domain.license import Durations, LicenseState, Reason
from tapi_agent.domain.lifecycle import TRANSITIONS, Trigger

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "license-states.md"
MISSING: Final = (Reason.NO_LICENSE, Reason.EVIDENCE_INVALID, Reason.KEY_UNKNOWN, Reason.MACHINE_MISMATCH)
DENIED: Final = (
    Reason.REVOKED,
    Reason.SUSPENDED,
    Reason.UNLICENSED,
    Reason.NOT_VALID,
    Reason.CAMERA_LIMIT,
    Reason.LICENSE_EXPIRED,
)
TEXT: Final = """\
# License states

Drawn from `domain/evaluation.py` and `domain/lifecycle.py`; a test compares.

A state is derived from the newest evidence, trusted time `t` and the link to the billing service, never remembered.
Every camera has its own; the device shows that of its worst camera.

| state | means |
|---|---|
| valid | full function |
| offline | full function; the billing service has been silent for longer than its answers count as fresh |
| grace | full function with a warning in every answer: paid time, or the time allowed without contact, is over |
| expired | licensed features stop, unless one says otherwise (a privacy mask stays); metering and status go on |

## As time passes

![Silence leads from valid to offline, grace and expired; the end of paid time to grace and expired](license-states.svg)

Drawn from `domain/timeline.py`, with the default spans; an answer of the service changes what lies ahead.

## Which state

The first row that holds wins; an instant that is a deadline belongs to the later state. *Lost* means that the last
attempt to hear the service about this camera failed, that none has finished within a minute of boot, resume or a change
of the clock, or that the box is air-gapped. A valid license carries the flag EXPIRING in its last {expiring} days.

{rows}

How long each span lasts without a signed lease, which brings its own:

| span | default |
|---|---|
{spans}

## Which edges

{diagram}

| trigger | means | leads |
|---|---|---|
{triggers}
"""


def document() -> str:
    return TEXT.format(expiring=EXPIRING.days, rows=rows(), spans=spans(), diagram=diagram(), triggers=triggers())


def rows() -> str:
    head = [
        "| # | condition | state | reason |",
        "|---|---|---|---|",
        f"| 1 | no evidence in any reachable tier or file | expired | {', '.join(MISSING)} |",
    ]
    return "\n".join(head + [_row(rule) for rule in RULES])


def _row(rule: Rule) -> str:
    return f"| {rule.row} | {rule.when} | {rule.state} | {rule.reason or ', '.join(DENIED)} |"


def spans() -> str:
    hours = {field.name.replace("_", " "): field.default // timedelta(hours=1) for field in fields(Durations)}
    return "\n".join(f"| {name} | {amount} h |" for name, amount in hours.items())


def diagram() -> str:
    edges = [f"    {edge['source']} --> {edge['dest']}: {edge['trigger']}" for edge in TRANSITIONS]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> expired", *edges, "```"])


def triggers() -> str:
    return "\n".join(f"| {trigger} | {meaning(trigger)} | {leads(trigger)} |" for trigger in Trigger)


def leads(trigger: Trigger) -> str:
    edges = (edge for edge in TRANSITIONS if edge["trigger"] is trigger)
    return ", ".join(f"{edge['source']} → {edge['dest']}" for edge in edges)


def meaning(trigger: Trigger) -> str:
    """The text under a member of ``Trigger``, from the source."""
    after = inspect.getsource(lifecycle.Trigger).split(f'{trigger.name} = "{trigger}"')[1]
    return " ".join(after.split('"""')[1].split())


def test_the_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_every_state_edge_and_reason_is_in_it() -> None:
    text = document()
    assert not [word for word in (*LicenseState, *Trigger, *Reason) if word not in text]


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
