"""tapi-agent migrate: bring the database to this version's schema, or show where it stands. Needs no running agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tapi_agent.cli.output import console, safe, show_json, table
from tapi_agent.settings import load

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.migrator import Migrator

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Bring the database schema up to date.")


@app.command()
def up() -> None:
    """Apply what is missing; safe to repeat, and beside running agents."""
    applied = _ask(lambda migrator: migrator.up())
    for migration in applied:
        console.print(f"applied {migration.version:04d} {safe(migration.name)}")
    console.print(f"{len(applied)} applied; the schema is up to date")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the migrations and when each was applied."""
    found = _ask(lambda migrator: migrator.status())
    rows = [(one.version, one.name, one.applied.applied_at.isoformat() if one.applied else None) for one in found]
    if as_json:
        names = ("version", "name", "applied_at")
        show_json({"schema": 1, "migrations": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        cells = ((f"{version:04d}", safe(name), applied_at or "no") for version, name, applied_at in rows)
        console.print(table(("VERSION", "NAME", "APPLIED"), cells))


def _ask(question: Callable[[Migrator], Awaitable[T]]) -> T:
    from tapi_agent import telemetry  # noqa: PLC0415 - tapi-agent --help must not load every adapter
    from tapi_agent.bootstrap import with_migrator  # noqa: PLC0415 - as above

    telemetry.configure("warning")
    return asyncio.run(with_migrator(load(), question))
