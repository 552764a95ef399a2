"""Settings of the billing service and of what its word is worth: durations, offline rules, keys, tiers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from tapi_agent.domain.license import Durations
from tapi_agent.settings.values import (
    ANY_CASE,
    DEFAULT_TIERS,
    ApiKey,
    ModeTiers,
    Password,
    ServiceUrl,
    TrustedKeys,
)


class Billing(BaseModel):
    """Billing service."""

    billing_service_url: ServiceUrl | None = Field(
        None, description="Base URL of the billing service; required unless the device is air-gapped."
    )
    billing_api_key: ApiKey | None = Field(
        None, description="Key sent with every request; the systemd credential api-key serves as well."
    )
    billing_timeout_ms: int = Field(5000, ge=10, le=120_000, description="Milliseconds to wait for one reply.")
    billing_max_retries: int = Field(3, ge=0, le=10, description="Further tries of a failed request.")
    billing_dialect: Annotated[Literal["auto", "extended", "classic"], ANY_CASE] = Field(
        "auto", description="Protocol: auto sends the extension fields until a reply shows that they are refused."
    )
    billing_classic_unknown: Annotated[Literal["hold", "retry"], ANY_CASE] = Field(
        "hold",
        description="What becomes of a batch a classic service may or may not have stored: "
        "hold it for the operator, or retry it and risk billing twice.",
    )
    connectivity_probe_seconds: float = Field(
        15, ge=0.01, le=3600, description="Seconds between two looks at a lost dependency."
    )
    enable_heartbeat: bool = Field(default=True, description="Report this device to the billing service regularly.")
    heartbeat_interval_minutes: float = Field(
        15,
        ge=0.001,
        le=1440,
        description="Minutes between two heartbeats, unless the service asks for another interval.",
    )

    @property
    def billing_timeout(self) -> timedelta:
        """BILLING_TIMEOUT_MS."""
        return timedelta(milliseconds=self.billing_timeout_ms)

    @property
    def connectivity_probe(self) -> timedelta:
        """CONNECTIVITY_PROBE_SECONDS."""
        return timedelta(seconds=self.connectivity_probe_seconds)

    @property
    def heartbeat_interval(self) -> timedelta:
        """HEARTBEAT_INTERVAL_MINUTES."""
        return timedelta(minutes=self.heartbeat_interval_minutes)


class Licensing(BaseModel):
    """License. Durations count from the last word of the billing service; a signed lease brings its own."""

    enable_license_validation: bool = Field(
        default=True, description="Ask the billing service; false is for air-gapped devices and never grants anything."
    )
    license_cache_ttl_seconds: float = Field(
        3600,
        ge=0.01,
        le=2_592_000,
        description="Seconds an answer counts as fresh; at most half the offline allowance.",
    )
    enable_offline_mode: bool = Field(
        default=True,
        description="Keep full function for OFFLINE_GRACE_PERIOD_HOURS without contact; false means 0 hours.",
    )
    offline_grace_period_hours: float = Field(
        24, ge=0, le=87_600, description="Hours of full function without contact (the offline allowance)."
    )
    license_offline_grace_hours: float = Field(
        168, ge=0, le=87_600, description="Hours of function with warnings after the offline allowance."
    )
    license_grace_hours: float = Field(
        336, ge=0, le=87_600, description="Hours of function with warnings after the license's end date."
    )
    lease_max_offline_hours: float | None = Field(
        None,
        ge=0,
        le=87_600,
        description="Hours after which a signed lease counts as out of contact, if it allows more.",
    )
    license_key: Password | None = Field(None, description="Key that decrypts encrypted license files.")
    trusted_keys: TrustedKeys = Field(
        {}, description="Public keys whose signed leases alone decide; two of them during a key rotation."
    )
    bypass_license_check: bool = Field(
        default=False, description="Allow every feature; refused unless TAPI_ENV is development."
    )
    entitlement_cache_ttl_seconds: float = Field(
        300, ge=0.01, le=86_400, description="Seconds the service's answer on a single feature counts as fresh."
    )
    mode_tiers: ModeTiers = Field(
        DEFAULT_TIERS,
        description="Tier of components that each license mode brings; modes left out keep their default.",
    )

    @property
    def freshness(self) -> timedelta:
        """LICENSE_CACHE_TTL_SECONDS."""
        return timedelta(seconds=self.license_cache_ttl_seconds)

    @property
    def offline_allowance(self) -> timedelta:
        """OFFLINE_GRACE_PERIOD_HOURS, zero when ENABLE_OFFLINE_MODE is false."""
        return timedelta(hours=self.offline_grace_period_hours) if self.enable_offline_mode else timedelta(0)

    @property
    def offline_grace(self) -> timedelta:
        """LICENSE_OFFLINE_GRACE_HOURS."""
        return timedelta(hours=self.license_offline_grace_hours)

    @property
    def license_grace(self) -> timedelta:
        """LICENSE_GRACE_HOURS."""
        return timedelta(hours=self.license_grace_hours)

    @property
    def durations(self) -> Durations:
        """All four, as unsigned evidence gets them."""
        return Durations(
            freshness=self.freshness,
            offline_allowance=self.offline_allowance,
            offline_grace=self.offline_grace,
            license_grace=self.license_grace,
        )

    @property
    def lease_max_offline(self) -> timedelta | None:
        """LEASE_MAX_OFFLINE_HOURS."""
        hours = self.lease_max_offline_hours
        return None if hours is None else timedelta(hours=hours)

    @property
    def entitlement_freshness(self) -> timedelta:
        """ENTITLEMENT_CACHE_TTL_SECONDS."""
        return timedelta(seconds=self.entitlement_cache_ttl_seconds)
