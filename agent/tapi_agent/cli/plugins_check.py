"""tapi-agent plugins check: what would keep a plugin from working, before it is installed."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Final

import typer

from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, safe, show_json, table
from tapi_agent.plugin.inspection import Finding, Level, inspect

_STYLES: Final = {Level.ERROR: "red", Level.WARNING: "yellow"}


def check(
    plugin: Annotated[str, typer.Argument(metavar="PATH", help="A project's folder, or the name of an installed one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look a plugin over without installing it: metadata, imports, hooks, what it adds, conflicts. Runs its code."""
    with console.status("loading it ..."):
        findings = inspect(plugin)
    if as_json:
        show_json({"schema": 1, "findings": [asdict(finding) for finding in findings]})
    elif findings:
        console.print(table(("LEVEL", "WHERE", "PROBLEM AND REMEDY"), map(_row, findings)))
    else:
        console.print("no findings: it can be installed")
    if any(finding.level is Level.ERROR for finding in findings):
        sys.exit(Exit.DENIED)


def _row(finding: Finding) -> tuple[str, str, str]:
    level = f"[{_STYLES[finding.level]}]{finding.level}[/]"
    return level, safe(finding.where), f"{safe(finding.problem)}\n→ {safe(finding.fix)}"
