"""What each kind of variable accepts and refuses, and the words it refuses with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.features import Tier
from tapi_agent.domain.license import LicenseMode
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Place

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *(
            (name, "1", True)
            for name, kind in VARIABLES.items()
            if kind.kind is bool and name != "bypass_license_check"
        ),
        *(("debug_mode", text, True) for text in ("true", "True", "TRUE", "yes", "YES", "on", "On", " 1 ")),
        *(("enable_heartbeat", text, False) for text in ("false", "False", "no", "NO", "off", "0")),
        ("management_tier", "Managed", "managed"),
        ("log_level", "WARN", "warn"),
        ("edge_device_id", "  box 7 ", "box 7"),
        ("plugins_disabled", " a,b ,,a", ("a", "b")),
        ("billing_service_url", "https://b.example", "https://b.example/api/v1"),
        ("billing_service_url", "https://b.example/", "https://b.example/api/v1"),
        ("billing_service_url", "HTTP://B.example:8081/api/v1/", "http://b.example:8081/api/v1"),
        ("billing_service_url", "https://b.example/billing/api/v1", "https://b.example/billing/api/v1"),
        ("billing_service_url", "http://[::1]:8081", "http://[::1]:8081/api/v1"),
        ("usage_db_max_bytes", "20GiB", 20 * 1024**3),
        ("usage_db_max_bytes", "1.5 gib", 1_610_612_736),
        ("usage_db_max_bytes", "200MB", 200_000_000),
        ("usage_db_max_bytes", "209715200", 209_715_200),
        ("spool_ballast_bytes", "0", 0),
        ("trusted_keys", f"k1:{KEY.upper()}, k2:{KEY}", {"k1": KEY, "k2": KEY}),
        ("offline_grace_period_hours", "2.5", 2.5),
        ("lease_max_offline_hours", "0", 0.0),
        ("usage_sync_interval_minutes", "0.001", 0.001),
    ],
)
def test_accepted(place: Place, name: str, text: str, value: object) -> None:
    assert getattr(place.load(**{name.upper(): text}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "shown", "allowed"),
    [
        ("DEBUG_MODE", "maybe", "'maybe'", "true or false (also 1/0, yes/no, on/off)"),
        ("BILLING_TIMEOUT_MS", "5s", "'5s'", "a whole number from 10 to 120000"),
        ("BILLING_TIMEOUT_MS", "9", "'9'", "a whole number from 10 to 120000"),
        ("BILLING_TIMEOUT_MS", "1.5", "'1.5'", "a whole number from 10 to 120000"),
        ("BILLING_MAX_RETRIES", "true", "'true'", "a whole number from 0 to 10"),
        ("USAGE_BATCH_SIZE", "1001", "'1001'", "a whole number from 1 to 1000"),
        ("USAGE_MAX_REQUESTS_PER_SECOND", "0.01", "'0.01'", "a number (decimals too) from 0.1 to 1000"),
        ("API_PORT", "0", "'0'", "a whole number from 1 to 65535"),
        ("API_PORT", "9" * 99, "'" + "9" * 60 + "...'", "a whole number from 1 to 65535"),
        ("LICENSE_GRACE_HOURS", "nan", "'nan'", "a number (decimals too) from 0 to 87600"),
        ("LICENSE_GRACE_HOURS", "1e999", "'1e999'", "a number (decimals too) from 0 to 87600"),
        ("LICENSE_GRACE_HOURS", "-1", "'-1'", "a number (decimals too) from 0 to 87600"),
        ("LICENSE_CACHE_TTL_SECONDS", "0", "'0'", "a number (decimals too) from 0.01 to 2592000"),
        ("MANAGEMENT_TIER", "gold", "'gold'", "one of basic, managed"),
        ("TAPI_ENV", "test", "'test'", "one of production, development"),
        ("BILLING_DIALECT", "x", "'x'", "one of auto, extended, classic"),
        ("BILLING_CLASSIC_UNKNOWN", "x", "'x'", "one of hold, retry"),
        ("LOG_LEVEL", "loud", "'loud'", "one of trace, debug, info, warn, warning, error, critical"),
        ("TENANT_ID", "a\nb", r"'a\nb'", "printable text of at most 255 characters"),
        ("TENANT_ID", "x" * 256, "'" + "x" * 60 + "...'", "printable text of at most 255 characters"),
        ("CAMERA_IDS", "a,b\x1bc", r"'a,b\x1bc'", "names separated by commas"),
        ("TAPI_STATE_DIR", "~/state", "'~/state'", "a path; a relative one counts from the current directory, ~"),
        ("TAPI_SOCKET", "/" + "s" * 100, "'/" + "s" * 59 + "...'", "a path of at most 100 bytes"),
        ("USAGE_DB_MAX_BYTES", "20 bananas", "'20 bananas'", "a size (1048576, 64MiB, 20GiB) from 100MiB"),
        ("USAGE_DB_MAX_BYTES", "1MiB", "'1MiB'", "a size (1048576, 64MiB, 20GiB) from 100MiB"),
        ("SPOOL_MIN_FREE_BYTES", "9" * 400, "'" + "9" * 60 + "...'", "a size (1048576, 64MiB, 20GiB) from 1"),
        ("TRUSTED_KEYS", "k1", "'k1'", "at most two KID:HEX"),
        ("TRUSTED_KEYS", f"k1:{KEY}00", f"'k1:{KEY[:57]}...'", "at most two KID:HEX"),
        ("TRUSTED_KEYS", "k1:xyz", "'k1:xyz'", "at most two KID:HEX"),
        ("TRUSTED_KEYS", f"a b:{KEY}", f"'a b:{KEY[:56]}...'", "at most two KID:HEX"),
        ("TRUSTED_KEYS", f"k1:{KEY},k1:{KEY[::-1]}", f"'k1:{KEY[:57]}...'", "at most two KID:HEX"),
        ("TRUSTED_KEYS", f"a:{KEY},b:{KEY},c:{KEY}", f"'a:{KEY[:58]}...'", "at most two KID:HEX"),
        ("MODE_TIERS", "trial:gold", "'trial:gold'", "MODE:TIER, separated by commas"),
        ("MODE_TIERS", "free:basic", "'free:basic'", "MODE:TIER, separated by commas"),
        ("BILLING_SERVICE_URL", "b.example", "'b.example'", "http(s)://HOST[:PORT][/PREFIX]/api/v1 without"),
        ("BILLING_SERVICE_URL", "ftp://b.example", "'ftp://b.example'", "http(s)://HOST"),
        ("BILLING_SERVICE_URL", "https://b.example/v2", "'https://b.example/v2'", "http(s)://HOST"),
        ("BILLING_SERVICE_URL", "https://b.example?x=1", "'https://b.example?x=1'", "http(s)://HOST"),
        ("BILLING_SERVICE_URL", "https://b.example/api/v1#x", "'https://b.example/api/v1#x'", "http(s)://HOST"),
        ("BILLING_SERVICE_URL", "https://me:pw@b.example", "'https://********@b.example'", "http(s)://HOST"),
        ("BILLING_SERVICE_URL", "https://b.example:99999", "'https://b.example:99999'", "http(s)://HOST"),
    ],
)
def test_refused(place: Place, name: str, text: str, shown: str, allowed: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        place.load(**{name: text})
    assert str(refusal.value).startswith(f"{name} (environment) is {shown}; allowed: {allowed}")
    assert "\n" not in str(refusal.value)
    assert "config check" in refusal.value.fix


def test_all_wrong_values_are_listed_with_their_place(place: Place) -> None:
    place.toml("api_threads = 0")
    place.env("LOG_LEVEL=loud")
    with pytest.raises(ConfigurationError) as refusal:
        place.load(DEBUG_MODE="maybe", TAPI_STATE_DIR="~")
    assert str(refusal.value).split("\n") == [
        "4 settings are wrong:",
        f"  TAPI_STATE_DIR (environment) is '~'; allowed: {VARIABLES['tapi_state_dir'].allowed}",
        "  DEBUG_MODE (environment) is 'maybe'; allowed: true or false (also 1/0, yes/no, on/off)",
        "  API_THREADS (agent.toml) is '0'; allowed: a whole number from 4 to 64",
        "  LOG_LEVEL (.env) is 'loud'; allowed: one of trace, debug, info, warn, warning, error, critical",
    ]


def test_a_default_that_cannot_be_used_is_explained_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        ConfigurationError, match=r"^TAPI_SOCKET \(default\) is '/s+\.\.\.'; allowed: a path of at most"
    ):
        place.load(TAPI_STATE_DIR="/" + "s" * 100)


def test_mode_tiers_keep_what_is_left_out(place: Place) -> None:
    assert place.load(MODE_TIERS="Trial:Standard").mode_tiers == {
        LicenseMode.TRIAL: Tier.STANDARD,
        LicenseMode.BASE: Tier.PROFESSIONAL,
        LicenseMode.ENTERPRISE: Tier.PROFESSIONAL,
        LicenseMode.UNLICENSED: Tier.BASIC,
        LicenseMode.EXPIRED: Tier.BASIC,
    }


@pytest.mark.parametrize(
    ("name", "text", "view", "duration"),
    [
        ("BILLING_TIMEOUT_MS", "250", "billing_timeout", timedelta(milliseconds=250)),
        ("CONNECTIVITY_PROBE_SECONDS", "0.5", "connectivity_probe", timedelta(seconds=0.5)),
        ("HEARTBEAT_INTERVAL_MINUTES", "0.1", "heartbeat_interval", timedelta(seconds=6)),
        ("LICENSE_CACHE_TTL_SECONDS", "60", "freshness", timedelta(minutes=1)),
        ("OFFLINE_GRACE_PERIOD_HOURS", "48", "offline_allowance", timedelta(days=2)),
        ("LICENSE_OFFLINE_GRACE_HOURS", "0.001", "offline_grace", timedelta(seconds=3.6)),
        ("LICENSE_GRACE_HOURS", "1.5", "license_grace", timedelta(minutes=90)),
        ("LEASE_MAX_OFFLINE_HOURS", "72", "lease_max_offline", timedelta(days=3)),
        ("ENTITLEMENT_CACHE_TTL_SECONDS", "10", "entitlement_freshness", timedelta(seconds=10)),
        ("POSTGRES_CONNECTION_TIMEOUT_MS", "500", "postgres_connection_timeout", timedelta(seconds=0.5)),
        ("REDIS_CONNECTION_TIMEOUT_MS", "50", "redis_connection_timeout", timedelta(milliseconds=50)),
        ("USAGE_SYNC_INTERVAL_MINUTES", "0.5", "usage_sync_interval", timedelta(seconds=30)),
        ("USAGE_KEEP_DAYS", "7", "usage_keep", timedelta(days=7)),
        ("TELEMETRY_KEEP_DAYS", "90", "telemetry_keep", timedelta(days=90)),
        ("TELEMETRY_KEEP_DAYS", "0", "telemetry_keep", None),
        ("PLUGIN_TIMEOUT_SECONDS", "0.5", "plugin_timeout", timedelta(seconds=0.5)),
    ],
)
def test_durations(place: Place, name: str, text: str, view: str, duration: timedelta | None) -> None:
    assert getattr(place.load(**{name: text}), view) == duration


@pytest.mark.parametrize(
    ("environ", "level"),
    [
        ({}, "info"),
        ({"LOG_LEVEL": "error"}, "error"),
        ({"LOG_LEVEL": "Warn"}, "warning"),
        ({"LOG_LEVEL": "trace"}, "debug"),
        ({"LOG_LEVEL": "error", "DEBUG_MODE": "1"}, "debug"),
    ],
)
def test_level(place: Place, environ: dict[str, str], level: str) -> None:
    assert place.load(**environ).level == level


@pytest.mark.parametrize(
    ("environ", "off"),
    [
        ({}, set()),
        ({"TRACK_API_CALLS": "0"}, {"api_call"}),
        ({"TRACK_LLM_TOKENS": "0"}, {"llm_tokens"}),
        ({"TRACK_STORAGE": "0"}, {"storage_gb_days"}),
        ({"TRACK_AGENT_EXECUTIONS": "0"}, {"agent_execution"}),
        ({"TRACK_SMS": "0"}, {"sms_sent"}),
        ({"TRACK_CLOUD_EXPORT": "0", "TRACK_WEBHOOKS": "0", "TRACK_EMAIL": "0"},
         {"cloud_export_gb", "webhook_call", "email_sent"}),
        ({"ENABLE_USAGE_TRACKING": "0"},
         {"api_call", "llm_tokens", "storage_gb_days", "agent_execution", "sms_sent", "cloud_export_gb", "webhook_call",
          "email_sent"}),
    ],
)  # fmt: skip
def test_meters(place: Place, environ: dict[str, str], off: set[str]) -> None:
    tracked = place.load(**environ).tracked
    assert {meter for meter, on in tracked.items() if not on} == off
    assert len(tracked) == 8
