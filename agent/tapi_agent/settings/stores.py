"""Settings of PostgreSQL and Redis, and the connection strings they amount to."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from tapi_agent.settings.values import Name, OptionalName, Password, PostgresDsn, RedisUrl


class Postgres(BaseModel):
    """PostgreSQL. Without POSTGRES_DSN and POSTGRES_HOST the agent runs its own, on a Unix socket."""

    postgres_dsn: PostgresDsn | None = Field(
        None, description="Whole connection string; takes the place of host, port, database, user and password."
    )
    postgres_host: OptionalName = Field(None, description="Host of PostgreSQL, or the directory of its Unix socket.")
    postgres_port: int = Field(5432, ge=1, le=65535, description="Port of PostgreSQL.")
    postgres_database: Name = Field("tapi", description="Database that holds the agent's tables.")
    postgres_user: Name = Field("tapi", description="User that owns them.")
    postgres_password: Password | None = Field(None, description="Password of POSTGRES_USER.")
    postgres_pool_size: int = Field(10, ge=1, le=100, description="Connections the agent opens at most.")
    postgres_connection_timeout_ms: int = Field(
        3000, ge=100, le=60_000, description="Milliseconds to wait for a connection to open."
    )

    @property
    def postgres_conninfo(self) -> SecretStr | None:
        """The connection string to use, ``None`` for the embedded engine. The DSN wins over the single variables."""
        if self.postgres_dsn or not self.postgres_host:
            return self.postgres_dsn
        parts = {
            "host": self.postgres_host,
            "port": str(self.postgres_port),
            "dbname": self.postgres_database,
            "user": self.postgres_user,
            "password": _plain(self.postgres_password),
        }
        return SecretStr(" ".join(f"{key}={_quoted(value)}" for key, value in parts.items() if value))

    @property
    def postgres_connection_timeout(self) -> timedelta:
        """POSTGRES_CONNECTION_TIMEOUT_MS."""
        return timedelta(milliseconds=self.postgres_connection_timeout_ms)


class Telemetry(BaseModel):
    """Telemetry. What the cameras have seen is kept in PostgreSQL."""

    telemetry_keep_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days that events, frames, dwell times and time series stay in the database; 0 means for ever.",
    )

    @property
    def telemetry_keep(self) -> timedelta | None:
        """TELEMETRY_KEEP_DAYS; ``None`` is for ever."""
        return timedelta(days=self.telemetry_keep_days) if self.telemetry_keep_days else None


class Redis(BaseModel):
    """Redis. Without REDIS_URL and REDIS_HOST the agent runs its own Valkey, on a Unix socket."""

    redis_url: RedisUrl | None = Field(None, description="Whole URL; takes the place of host, port and password.")
    redis_host: OptionalName = Field(None, description="Host of Redis, or the path of its Unix socket.")
    redis_port: int = Field(6379, ge=1, le=65535, description="Port of Redis.")
    redis_password: Password | None = Field(None, description="Password of Redis.")
    redis_max_memory_mb: int = Field(64, ge=1, le=65_536, description="Megabytes (MiB) the agent's own Valkey may use.")
    redis_connection_timeout_ms: int = Field(
        100, ge=10, le=60_000, description="Milliseconds to wait for Redis before doing without it."
    )

    @property
    def redis_location(self) -> SecretStr | None:
        """The URL to use, ``None`` for the embedded engine. REDIS_URL wins over the single variables."""
        if self.redis_url or not self.redis_host:
            return self.redis_url
        password = _plain(self.redis_password)
        login = f":{quote(password, safe='')}@" if password else ""
        if self.redis_host.startswith("/"):
            return SecretStr(f"unix://{login}{quote(self.redis_host)}")
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return SecretStr(f"redis://{login}{host}:{self.redis_port}/0")

    @property
    def redis_connection_timeout(self) -> timedelta:
        """REDIS_CONNECTION_TIMEOUT_MS."""
        return timedelta(milliseconds=self.redis_connection_timeout_ms)


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _quoted(value: str) -> str:
    """A value of libpq's key=value form."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
