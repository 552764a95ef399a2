"""A stand-in for the agent, to be killed: starts both engines, uses them, tells what it saw, stops them in the end.

Run as root with ``--uid`` it takes on that identity first. Its saved uid stays root's, so that coverage can be written
at the end; the engines are other programs and inherit nothing of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import redis
import structlog

from tapi_agent.adapters.engines import EmbeddedPostgres, EmbeddedValkey, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def acting_as(uid: int | None) -> Iterator[None]:
    if uid is None:
        yield
        return
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    if not os.access(sys.executable, os.X_OK):  # an interpreter below /root: this uid would have another one
        sys.executable = shutil.which("python3", path=os.defpath) or sys.executable
    yield
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)


def seen(engine: Engine) -> dict[str, object]:
    pid = engine.pid
    return {"pid": pid, "adopted": engine.adopted, "state": engine.state, "uid": Path(f"/proc/{pid}").stat().st_uid}


def use_postgres(dsn: str) -> int:
    """Count the agents that have been here."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO visits DEFAULT VALUES")
        row = connection.execute("SELECT count(*) FROM visits").fetchone()
    return int(row[0]) if row else 0


def use_valkey(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.incr("visits"))


async def main(state_dir: Path) -> None:
    postgres, valkey = EmbeddedPostgres(state_dir), EmbeddedValkey(state_dir)
    for engine in (postgres, valkey):
        await engine.start()
    visits = {"postgres_visits": use_postgres(postgres.dsn), "valkey_visits": use_valkey(valkey.url)}
    report = {"postgres": seen(postgres), "valkey": seen(valkey), "dsn": postgres.dsn, "url": valkey.url, **visits}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for engine in (valkey, postgres):
        await engine.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--uid", type=int)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with acting_as(options.uid):
        asyncio.run(main(options.state_dir))
