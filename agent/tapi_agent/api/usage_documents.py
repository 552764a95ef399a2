"""Proof, comparison and dead letters as JSON documents (docs/api.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tapi_agent.api.schemas import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.proof import Amount, Finding, Line
    from tapi_agent.domain.reconciliation import Comparison
    from tapi_agent.domain.replay import Refusal
    from tapi_agent.services.proof.letters import Replay
    from tapi_agent.services.proof.reconcile import DayComparison
    from tapi_agent.services.proof.verify import BatchProof, DayProof, Outline


def outline_document(outline: Outline) -> dict[str, Any]:
    """What there is to verify."""
    return {"stream": str(outline.stream), "days": plain(outline.days), **_judged(outline.findings)}


def day_document(proof: DayProof) -> dict[str, Any]:
    """The equations of one day."""
    lines = [_line(line) for line in proof.lines]
    return {"day": plain(proof.day), "rows": proof.rows, "lines": lines, **_judged(proof.findings)}


def batches_document(proof: BatchProof) -> dict[str, Any]:
    """Some batches."""
    return {"batches": proof.batches, "last": plain(proof.last), **_judged(proof.findings)}


def comparison_document(comparison: DayComparison) -> dict[str, Any]:
    """One day of ours beside theirs."""
    return {
        "day": plain(comparison.day),
        "extended": comparison.extended,
        "agrees": all(line.agrees for line in comparison.lines),
        "lines": [_compared(line) for line in comparison.lines],
    }


def replay_document(replay: Replay) -> dict[str, Any]:
    """What became of some letters."""
    refused = [_refusal(refusal) for refusal in replay.refused]
    return {"replayed": plain(replay.replayed), "refused": refused, "last": replay.last}


def _judged(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"sound": not findings, "findings": [_finding(finding) for finding in findings]}


def _finding(finding: Finding) -> dict[str, Any]:
    return {**plain(finding), "fix": finding.fault.fix}


def _line(line: Line) -> dict[str, Any]:
    return {
        **plain(line.account),
        "accepted": _amount(line.accepted),
        "fates": {str(fate): _amount(amount) for fate, amount in line.fates.items()},
        "unaccounted": _amount(line.unaccounted),
    }


def _amount(amount: Amount) -> dict[str, Any]:
    """In digits, however many: never 1E+3."""
    return {"events": amount.events, "quantity": f"{amount.quantity:f}"}


def _compared(line: Comparison) -> dict[str, Any]:
    return {
        "tenant_id": line.tenant_id,
        "meter": line.meter,
        "ours": _amount(line.ours),
        "in_doubt": _amount(line.in_doubt),
        "theirs": {"events": line.their_events, "quantity": plain(line.their_quantity)},
        "difference": plain(line.difference),
        "agrees": line.agrees,
        "identified": plain(line.identified),
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {**plain(refusal), "why": refusal.obstacle.why, "fix": refusal.obstacle.fix}
