"""Values that are each allowed and cannot stand together, and what is merely missing or doubtful."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.license import Durations

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place

COMPLETE = {
    "TENANT_ID": "acme",
    "BILLING_SERVICE_URL": "https://billing.example/api/v1",
    "BILLING_API_KEY": "key",
}


def test_the_defaults_are_those_of_the_contract(place: Place) -> None:
    assert place.load().durations == Durations()
    assert place.load().lease_max_offline is None


@pytest.mark.parametrize(
    ("environ", "accepted"),
    [
        pytest.param({"LICENSE_CACHE_TTL_SECONDS": "43200"}, True, id="exactly half"),
        pytest.param({"LICENSE_CACHE_TTL_SECONDS": "43201"}, False, id="more than half"),
        pytest.param({"OFFLINE_GRACE_PERIOD_HOURS": "1"}, False, id="allowance too short"),
        pytest.param({"OFFLINE_GRACE_PERIOD_HOURS": "0"}, False, id="no allowance by the hour"),
        pytest.param({"OFFLINE_GRACE_PERIOD_HOURS": "0", "ENABLE_OFFLINE_MODE": "false"}, True, id="no offline mode"),
        pytest.param(
            {"LICENSE_CACHE_TTL_SECONDS": "1", "OFFLINE_GRACE_PERIOD_HOURS": "0.001"}, True, id="compressed for a demo"
        ),
    ],
)
def test_freshness_is_at_most_half_of_the_allowance(place: Place, environ: dict[str, str], *, accepted: bool) -> None:
    if accepted:
        assert place.load(**environ).freshness == timedelta(
            seconds=float(environ.get("LICENSE_CACHE_TTL_SECONDS", 3600))
        )
    else:
        with pytest.raises(ConfigurationError, match="more than half of the offline allowance"):
            place.load(**environ)


def test_the_refusal_says_what_would_be_allowed(place: Place) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        place.load(OFFLINE_GRACE_PERIOD_HOURS="1")
    assert str(refusal.value) == (
        "LICENSE_CACHE_TTL_SECONDS is 3600, more than half of the offline allowance, OFFLINE_GRACE_PERIOD_HOURS "
        "(3600 seconds); allowed: at most 1800, or ENABLE_OFFLINE_MODE=false"
    )


def test_without_offline_mode_the_allowance_is_zero_and_the_grace_stays(place: Place) -> None:
    settings = place.load(ENABLE_OFFLINE_MODE="false")
    assert settings.offline_allowance == timedelta(0)
    assert settings.offline_grace == timedelta(days=7)


def test_bypass_needs_development(place: Place) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        place.load(BYPASS_LICENSE_CHECK="true")
    assert str(refusal.value) == (
        "BYPASS_LICENSE_CHECK is true while TAPI_ENV is production; allowed: with TAPI_ENV=development"
    )
    settings = place.load(BYPASS_LICENSE_CHECK="true", TAPI_ENV="development", **COMPLETE)
    assert settings.bypass_license_check
    assert settings.problems == (
        "BYPASS_LICENSE_CHECK is on: every feature is allowed without a license; switch it off",
    )


def test_space_thresholds_descend(place: Place) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        place.load(SPOOL_SLOW_FREE_BYTES="2GiB")
    assert str(refusal.value) == (
        "SPOOL_MIN_FREE_BYTES, SPOOL_SLOW_FREE_BYTES and SPOOL_SHED_FREE_BYTES are 256MiB, 2GiB, 1GiB; "
        "allowed: each greater than the one before"
    )


def test_contradictions_are_listed_together(place: Place) -> None:
    with pytest.raises(ConfigurationError, match=r"^3 settings are wrong:"):
        place.load(SPOOL_MIN_FREE_BYTES="1GiB", BYPASS_LICENSE_CHECK="on", OFFLINE_GRACE_PERIOD_HOURS="0")


def test_a_complete_configuration_has_no_problems(place: Place) -> None:
    assert place.load(**COMPLETE).problems == ()


@pytest.mark.parametrize("missing", COMPLETE)
def test_what_is_missing_is_said_and_not_fatal(place: Place, missing: str) -> None:
    problems = place.load(**{name: value for name, value in COMPLETE.items() if name != missing}).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"{missing} is not set: ")


def test_an_air_gapped_device_needs_no_service(place: Place) -> None:
    settings = place.load(
        TENANT_ID="acme", ENABLE_LICENSE_VALIDATION="no", ENABLE_USAGE_TRACKING="no", ENABLE_HEARTBEAT="no"
    )
    assert settings.problems == ()


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        pytest.param({"BILLING_SERVICE_URL": "http://billing.example"}, "BILLING_SERVICE_URL uses http", id="http"),
        pytest.param(
            {"POSTGRES_DSN": "host=/run", "POSTGRES_HOST": "db"},
            "POSTGRES_DSN and POSTGRES_HOST",
            id="PostgreSQL twice",
        ),
        pytest.param({"REDIS_URL": "redis://r", "REDIS_HOST": "r"}, "REDIS_URL and REDIS_HOST", id="Redis twice"),
    ],
)
def test_what_is_doubtful_is_said(place: Place, environ: dict[str, str], problem: str) -> None:
    (said,) = place.load(**(COMPLETE | environ)).problems
    assert said.startswith(problem)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_http_to_this_machine_is_no_problem(place: Place, host: str) -> None:
    assert place.load(**(COMPLETE | {"BILLING_SERVICE_URL": f"http://{host}:8081"})).problems == ()


@pytest.mark.parametrize(
    ("mode", "lines", "problem"),
    [
        pytest.param(0o600, ["BILLING_API_KEY=k"], None, id="private"),
        pytest.param(0o640, ["BILLING_API_KEY=k"], None, id="group"),
        pytest.param(0o644, ["BILLING_API_KEY=k"], "holds secrets and can be read by every user: chmod o-r", id="read"),
        pytest.param(0o644, ["API_PORT=80"], None, id="no secrets"),
        pytest.param(0o644, ["BILLING_API_KEY="], None, id="empty secret"),
        pytest.param(0o666, ["API_PORT=80"], "can be changed by every user: chmod o-w", id="write"),
    ],
)
def test_files_open_to_everyone_are_a_problem(place: Place, mode: int, lines: list[str], problem: str | None) -> None:
    place.env(*lines)
    place.env_file.chmod(mode)
    problems = place.load(**COMPLETE).problems
    assert problems == (() if problem is None else (f"{place.env_file} {problem} {place.env_file}",))
