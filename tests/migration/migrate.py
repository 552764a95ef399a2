"""A process that migrates ARGV[1] from directory ARGV[2], to be killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tapi_agent.adapters.postgres.migrator import Migrator

asyncio.run(Migrator(dsn=sys.argv[1], directory=Path(sys.argv[2]), agent_version="0").up())
