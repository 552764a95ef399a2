from __future__ import annotations

from datetime import timedelta

import pytest

from tapi_agent.adapters.redis.breaker import Breaker
from tapi_agent.domain.errors import UnavailableError


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def breaker(monotonic: Monotonic) -> Breaker:
    return Breaker(name="Redis", window=timedelta(seconds=2), monotonic=monotonic)


def test_a_new_breaker_admits_everyone(breaker: Breaker) -> None:
    breaker.admit()
    breaker.admit()


def test_a_trip_refuses_for_the_window_and_says_why_and_how_long(breaker: Breaker, monotonic: Monotonic) -> None:
    breaker.trip("refused")
    monotonic.now += 0.5
    with pytest.raises(UnavailableError, match="Redis is down: refused") as refusal:
        breaker.admit()
    assert refusal.value.retry_after == timedelta(seconds=1.5)
    assert refusal.value.fix == "start Redis, or correct its address in the settings"


def test_after_the_window_one_caller_tries_while_the_others_stay_away(breaker: Breaker, monotonic: Monotonic) -> None:
    breaker.trip("refused")
    monotonic.now += 2
    breaker.admit()
    with pytest.raises(UnavailableError):
        breaker.admit()


def test_a_successful_try_lets_everyone_in_again(breaker: Breaker, monotonic: Monotonic) -> None:
    breaker.trip("refused")
    monotonic.now += 2
    breaker.admit()
    breaker.close()
    breaker.admit()
    breaker.admit()


def test_a_try_that_never_comes_back_blocks_for_one_window_only(breaker: Breaker, monotonic: Monotonic) -> None:
    breaker.trip("refused")
    monotonic.now += 2
    breaker.admit()
    monotonic.now += 2
    breaker.admit()
