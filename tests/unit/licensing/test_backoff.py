from __future__ import annotations

from datetime import timedelta

import pytest

from tapi_agent.domain.backoff import fraction, full_jitter

SECOND = timedelta(seconds=1)
LIMIT = timedelta(minutes=15)
LOWEST, HALF, HIGHEST = bytes(6), b"\x80" + bytes(5), b"\xff" * 6


@pytest.mark.parametrize(("failures", "ceiling"), [(0, 1), (1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (10**6, 900)])
def test_the_ceiling_doubles_up_to_the_limit(failures, ceiling) -> None:
    waits = [full_jitter(failures, first=SECOND, limit=LIMIT, entropy=chance) for chance in (LOWEST, HALF, HIGHEST)]
    assert waits == [timedelta(0), ceiling * SECOND / 2, pytest.approx(ceiling * SECOND, abs=timedelta(microseconds=1))]


def test_a_fraction_is_below_one() -> None:
    assert fraction(LOWEST) == 0
    assert 0.999 < fraction(HIGHEST) < 1
