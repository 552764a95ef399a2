from __future__ import annotations

import pytest

from tapi_agent.domain.bisection import RootTally, Verdict, judge


def tally(events: int = 1000, *, others_taken: bool = False, **counts: int) -> RootTally:
    zero = {"accepted": 0, "refused": 0, "dead": 0, "open": 0, "ambiguous": 0}
    return RootTally(events=events, others_taken=others_taken, **zero | counts)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (tally(accepted=1000), Verdict.WAIT),
        (tally(refused=1, open=3), Verdict.WAIT),
        (tally(refused=1, open=3, accepted=500), Verdict.WAIT),
        (tally(refused=11, open=3, accepted=500), Verdict.WAIT),
        (tally(refused=11, open=3, others_taken=True), Verdict.WAIT),
        (tally(refused=1, accepted=999), Verdict.BURY),
        (tally(refused=10, accepted=1), Verdict.BURY),
        (tally(refused=5, dead=5, accepted=900), Verdict.BURY),
        (tally(events=2, refused=1, accepted=1), Verdict.BURY),
        (tally(events=250, refused=2, accepted=1), Verdict.BURY),
        (tally(refused=1, ambiguous=1, accepted=1), Verdict.BURY),
        (tally(refused=11, accepted=900), Verdict.HOLD),
        (tally(refused=5, dead=6, accepted=900), Verdict.HOLD),
        (tally(events=250, refused=3, accepted=1), Verdict.HOLD),
        (tally(refused=1, others_taken=True), Verdict.HOLD),
        (tally(events=1, refused=1, others_taken=True), Verdict.HOLD),
        (tally(refused=11, open=5), Verdict.RESTORE),
        (tally(events=2, refused=2), Verdict.RESTORE),
        (tally(events=1, refused=1), Verdict.RESTORE),
        (tally(refused=1, ambiguous=1), Verdict.WAIT),
    ],
    ids=str,
)
def test_the_verdict(found: RootTally, verdict: Verdict) -> None:
    assert judge(found) is verdict
