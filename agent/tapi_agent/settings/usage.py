"""Settings of usage metering: what is counted, how it is delivered, how much disk it may take."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ByteSize, Field

from tapi_agent.settings.values import Bytes, DefaultNote, FilePath

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIB: Final = 1024**2
_GIB: Final = 1024**3


class Metering(BaseModel):
    """Metering."""

    enable_usage_tracking: bool = Field(default=True, description="Meter usage at all; false switches every meter off.")
    track_api_calls: bool = Field(default=True, description="Meter calls of the API (api_call).")
    track_llm_tokens: bool = Field(default=True, description="Meter tokens of language models (llm_tokens).")
    track_storage: bool = Field(default=True, description="Meter stored gigabyte-days (storage_gb_days).")
    track_agent_executions: bool = Field(default=True, description="Meter executions of agents (agent_execution).")
    track_sms: bool = Field(default=True, description="Meter text messages (sms_sent).")
    track_cloud_export: bool = Field(
        default=True, description="Meter gigabytes exported to the cloud (cloud_export_gb)."
    )
    track_webhooks: bool = Field(default=True, description="Meter calls of webhooks (webhook_call).")
    track_email: bool = Field(default=True, description="Meter e-mails (email_sent).")
    pricing_file: Annotated[FilePath | None, DefaultNote("the list that comes with the agent")] = Field(
        None, description="Price list for cost estimates, in the form of config/pricing.toml."
    )

    @property
    def tracked(self) -> Mapping[str, bool]:
        """Whether each built-in meter is on, by event type."""
        switches = {
            "api_call": self.track_api_calls,
            "llm_tokens": self.track_llm_tokens,
            "storage_gb_days": self.track_storage,
            "agent_execution": self.track_agent_executions,
            "sms_sent": self.track_sms,
            "cloud_export_gb": self.track_cloud_export,
            "webhook_call": self.track_webhooks,
            "email_sent": self.track_email,
        }
        return {meter: self.enable_usage_tracking and on for meter, on in switches.items()}


class Delivery(BaseModel):
    """Delivery and retention. Only events the billing service has accepted are ever deleted."""

    usage_batch_size: int = Field(1000, ge=1, le=1000, description="Events in one request at most.")
    usage_sync_interval_minutes: float = Field(
        5, ge=0.001, le=1440, description="Minutes within which an event is delivered while the service answers."
    )
    usage_max_requests_per_second: float = Field(
        50,
        ge=0.1,  # four batches that wait for their turn must not outlive their leases
        le=1000,
        description="Usage requests a second at most: a backlog does not swamp the link.",
    )
    usage_keep_days: int = Field(30, ge=1, le=3650, description="Days a delivered event stays in the database.")
    usage_db_max_bytes: Bytes = Field(
        ByteSize(20 * _GIB),
        ge=100 * _MIB,
        description="Size of the usage tables above which the oldest delivered events go early.",
    )

    @property
    def usage_sync_interval(self) -> timedelta:
        """USAGE_SYNC_INTERVAL_MINUTES."""
        return timedelta(minutes=self.usage_sync_interval_minutes)

    @property
    def usage_spacing(self) -> timedelta:
        """Between two requests, by USAGE_MAX_REQUESTS_PER_SECOND."""
        return timedelta(seconds=1 / self.usage_max_requests_per_second)

    @property
    def usage_keep(self) -> timedelta:
        """USAGE_KEEP_DAYS."""
        return timedelta(days=self.usage_keep_days)


class Space(BaseModel):
    """Disk space. Three thresholds of free space, each smaller than the one before, and a reserve."""

    spool_shed_free_bytes: Bytes = Field(
        ByteSize(_GIB), ge=1, description="Free space below which delivered events are deleted early."
    )
    spool_slow_free_bytes: Bytes = Field(
        ByteSize(512 * _MIB), ge=1, description="Free space below which recording is slowed down."
    )
    spool_min_free_bytes: Bytes = Field(
        ByteSize(256 * _MIB), ge=1, description="Free space below which new events are refused with an error."
    )
    spool_ballast_bytes: Bytes = Field(
        ByteSize(64 * _MIB),
        ge=0,
        description="Space held in reserve and released on a full disk, so that delivery can go on.",
    )
