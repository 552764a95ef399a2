"""Real PostgreSQL and Valkey for tests: ours and those of plugin authors. Does not own what the tests put into them."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEngines:
    """Where to connect: ``dsn`` for psycopg (role tapi may create databases), ``url`` for ``redis.from_url``."""

    dsn: str
    url: str


@contextmanager
def running_engines(state_dir: Path | None = None) -> Iterator[RunningEngines]:
    """Run both engines while the block lasts; without ``state_dir`` in a directory that goes with them.

    Made for a pytest fixture of session scope, one for each xdist worker: not inside a running event loop. A cold start
    takes one to two seconds. Prefer no ``state_dir`` to pytest's ``tmp_path``, whose sockets' paths would be too long.
    """
    with ExitStack() as stack:
        if state_dir is None:
            temporary = tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp")  # short, and open to the engines' user
            state_dir = Path(stack.enter_context(temporary))
        postgres, valkey = EmbeddedPostgres(state_dir), EmbeddedValkey(state_dir)
        stack.callback(asyncio.run, _stop(postgres, valkey))
        asyncio.run(_start(postgres, valkey))
        yield RunningEngines(dsn=postgres.dsn, url=valkey.url)


async def _start(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    await asyncio.gather(postgres.start(), valkey.start())


async def _stop(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    await valkey.stop()
    await postgres.stop()
