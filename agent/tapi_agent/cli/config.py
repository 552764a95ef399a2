"""tapi-agent config: see and check the settings in force; needs no running agent."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tapi_agent.cli.output import console, safe, show_json, table, warn
from tapi_agent.settings import describe, load, render_env_template

app = typer.Typer(no_args_is_help=True, help="See and check the settings in force.")


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every setting, its value (secrets masked) and where it came from."""
    rows = describe(load())
    if as_json:
        show_json({"schema": 1, "settings": [asdict(row) for row in rows]})
    else:
        console.print(table(("VARIABLE", "VALUE", "FROM"), ((row.name, safe(row.value), row.source) for row in rows)))


@app.command()
def check() -> None:
    """Load the settings and say what is missing; exit 78 when a value is wrong."""
    settings = load()
    remarks = (*settings.problems, *settings.unknown)
    console.print("the settings are valid" + (", but:" if remarks else ""))
    for remark in remarks:
        warn(safe(remark))


@app.command()
def template() -> None:
    """Print a commented .env with every variable."""
    sys.stdout.write(render_env_template())
