"""Settings of the agent itself: where it reads and keeps things, who it is, what it listens on, what it logs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from tapi_agent.settings.values import ANY_CASE, DefaultNote, FilePath, Name, Names, OptionalName, SocketPath

SYSTEM_CONFIG: Final = Path("/etc/tapi-agent/agent.toml")


def _socket_in_state_directory(validated: dict[str, Any]) -> Path:
    return Path(validated["tapi_state_dir"]) / "agent.sock"


class Files(BaseModel):
    """Where settings come from. Only the environment can set these two."""

    tapi_config: FilePath = Field(
        SYSTEM_CONFIG,
        description="The TOML file of settings; the default one may be absent.",
    )
    tapi_env_file: Annotated[FilePath, DefaultNote(".env in the current directory")] = Field(
        Path("/.env"), description="The file of NAME=value lines; the default one may be absent."
    )


class Agent(BaseModel):
    """The agent. As a systemd service it needs none of these."""

    tapi_env: Annotated[Literal["production", "development"], ANY_CASE] = Field(
        "production", description="What this installation is for; development unlocks BYPASS_LICENSE_CHECK."
    )
    tapi_state_dir: Annotated[
        FilePath,
        DefaultNote("$STATE_DIRECTORY (systemd), as root /var/lib/tapi-agent, else ~/.local/state/tapi-agent"),
    ] = Field(
        Path("/var/lib/tapi-agent"),
        description="Directory of everything that must survive a restart: evidence, spool, embedded databases.",
    )
    tapi_socket: Annotated[
        SocketPath,
        DefaultNote(
            "/run/tapi-agent/agent.sock (systemd, root), else in $XDG_RUNTIME_DIR/tapi-agent or TAPI_STATE_DIR"
        ),
    ] = Field(default_factory=_socket_in_state_directory, description="Unix socket on which the agent answers.")
    tapi_socket_group: Name = Field("tapi", description="Group that may use the socket (mode 0660).")
    debug_mode: bool = Field(default=False, description="Log at debug level, whatever LOG_LEVEL says.")


class Identity(BaseModel):
    """Device and tenant."""

    tenant_id: OptionalName = Field(None, description="The tenant whose license this device uses; required.")
    edge_device_id: Name = Field(
        "auto", description="Name of this device at the billing service; auto derives a stable one from the machine."
    )
    management_tier: Annotated[Literal["basic", "managed"], ANY_CASE] = Field(
        "basic", description="How this device is managed, as reported with each heartbeat."
    )
    camera_ids: Names = Field((), description="Cameras known from the start; others register when first validated.")


class LocalApi(BaseModel):
    """Local API. The Unix socket is always there; a TCP port is for applications that cannot reach it."""

    api_port: int | None = Field(None, ge=1, le=65535, description="Loopback TCP port; unset means no TCP at all.")
    api_threads: int = Field(
        16, ge=4, le=64, description="Threads for what would block answers: name look-ups and small files."
    )
    api_enable_cors: bool = Field(
        default=False, description="Let web pages served by this machine read the API on the TCP port."
    )


class Plugins(BaseModel):
    """Plugins."""

    plugins_disabled: Names = Field((), description="Plugins, by entry-point name, that are not loaded.")
    plugin_trace: Names = Field((), description="Plugins, by entry-point name or all, whose calls are all logged.")
    plugin_timeout_seconds: float = Field(
        5, ge=0.01, le=300, description="Seconds a plugin may take for one call before it is disabled."
    )

    @property
    def plugin_timeout(self) -> timedelta:
        """PLUGIN_TIMEOUT_SECONDS."""
        return timedelta(seconds=self.plugin_timeout_seconds)


class Logging(BaseModel):
    """Logging. JSON lines go to stderr, which under systemd is the journal."""

    log_level: Annotated[Literal["trace", "debug", "info", "warn", "warning", "error", "critical"], ANY_CASE] = Field(
        "info", description="Least severe level that is logged; trace means debug, warn means warning."
    )
    log_to_file: bool = Field(default=False, description="Log to LOG_FILE_PATH as well.")
    log_file_path: Annotated[FilePath | None, DefaultNote("log/agent.log in TAPI_STATE_DIR")] = Field(
        None, description="The log file; older ones get .1, .2 and so on appended."
    )
    log_max_file_size_mb: int = Field(10, ge=1, le=1024, description="Megabytes (MiB) after which a new file begins.")
    log_max_files: int = Field(5, ge=1, le=100, description="How many older files are kept.")
