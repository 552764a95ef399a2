"""PostgreSQL and Redis, the agent's own or the site's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tapi_agent import resources
from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey, Engine, EngineState
from tapi_agent.adapters.postgres.maintenance import PostgresMaintenance
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.redis.cache import RedisCache
from tapi_agent.bootstrap.core import VERSION
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.connectivity import POSTGRES, REDIS, Connectivity
from tapi_agent.services.health import StoreWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from tapi_agent.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """PostgreSQL and Redis; an engine is ``None`` where the site brings its own server."""

    database: Database
    migrator: Migrator
    upkeep: PostgresMaintenance
    cache: RedisCache
    postgres: Engine | None
    valkey: Engine | None

    @property
    def engines(self) -> list[Engine]:
        """Those that are ours to run."""
        return [engine for engine in (self.valkey, self.postgres) if engine is not None]


def stores(settings: Settings) -> Stores:
    """The stores for these settings; nothing is started and nobody is asked."""
    postgres = None if settings.postgres_conninfo else EmbeddedPostgres(settings.tapi_state_dir)
    valkey = (
        None
        if settings.redis_location
        else EmbeddedValkey(settings.tapi_state_dir, max_memory_mb=settings.redis_max_memory_mb)
    )
    dsn = _first(settings.postgres_conninfo, postgres.dsn if postgres else None)
    database = Database(dsn=dsn, size=settings.postgres_pool_size, connect_timeout=settings.postgres_connection_timeout)
    return Stores(
        database=database,
        migrator=Migrator(dsn=dsn, directory=resources.directory("migrations"), agent_version=VERSION),
        upkeep=PostgresMaintenance(dsn=dsn, database=database),
        cache=RedisCache(
            url=_first(settings.redis_location, valkey.url if valkey else None),
            timeout=settings.redis_connection_timeout,
        ),
        postgres=postgres,
        valkey=valkey,
    )


def _first(configured: SecretStr | None, own: str | None) -> str:
    """Where to connect: the site's server, else our own engine's socket."""
    return configured.get_secret_value() if configured else own or ""


async def with_migrator(settings: Settings, action: Callable[[Migrator], Awaitable[Result]]) -> Result:
    """Do something with the migrator of the configured database; an embedded one is started for it when it is not."""
    chosen = stores(settings)
    engine = chosen.postgres
    if engine is None:
        return await action(chosen.migrator)
    await engine.start()
    try:
        return await action(chosen.migrator)
    finally:
        if not engine.adopted:
            await engine.stop()


def watches(chosen: Stores, connectivity: Connectivity) -> dict[str, StoreWatch]:
    """Who looks after them, by name."""
    return {
        POSTGRES: StoreWatch(
            POSTGRES,
            probe=_probe(chosen.postgres, chosen.database.ping),
            prepare=chosen.migrator.up,
            confirm=partial(chosen.migrator.confirm, chosen.database),
            connectivity=connectivity,
        ),
        REDIS: StoreWatch(REDIS, probe=_probe(chosen.valkey, chosen.cache.ping), connectivity=connectivity),
    }


def _probe(engine: Engine | None, ping: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """``ping``, but the engine itself knows better why it does not answer."""

    async def probe() -> None:
        if engine is not None and engine.state is not EngineState.RUNNING:
            raise engine.last_error or UnavailableError(f"{engine.name} is {engine.state}")
        await ping()

    return probe
