"""The command tapi-agent: which commands there are, and how each ends.

A command's module is imported when the command is asked for: ``tapi-agent version`` must not pay for the others.
"""

from __future__ import annotations

import os
from collections import UserDict
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typing_extensions import override

from tapi_agent.cli.exits import fail, fail_as_bug
from tapi_agent.cli.plugin_commands import plugin_commands
from tapi_agent.domain.errors import TapiError

_ASK: Final = "Ask the running agent"
_OPERATE: Final = "Operate"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: a function of ``tapi_agent.cli``, or a ``Typer`` of several; in which panel help shows it."""

    module: str
    name: str
    panel: str

    def load(self, name: str) -> Any:  # noqa: ANN401 - typer names no type for what it makes
        """The command."""
        found = getattr(import_module(f"tapi_agent.cli.{self.module}"), self.name)
        holder = typer.Typer(add_completion=False)
        holder.callback()(lambda: None)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name, rich_help_panel=self.panel)
        else:
            holder.command(name, rich_help_panel=self.panel)(found)
        return typer.main.get_group(holder).commands[name]


PLACES: Final = {
    "status": Place("status", "status", _ASK),
    "explain": Place("explain", "explain", _ASK),
    "simulate": Place("simulate", "simulate", _ASK),
    "wait": Place("wait", "wait", _ASK),
    "check": Place("check", "check", _ASK),
    "entitlements": Place("check", "entitlements", _ASK),
    "costs": Place("costs", "costs", _ASK),
    "license": Place("license", "app", _ASK),
    "quota": Place("quota", "quota", _ASK),
    "usage": Place("usage", "app", _ASK),
    "cameras": Place("cameras", "app", _ASK),
    "plugins": Place("plugins", "app", _ASK),
    "doctor": Place("doctor", "doctor", _ASK),
    "run": Place("run", "run", _OPERATE),
    "demo": Place("demo", "demo", _OPERATE),
    "sandbox": Place("sandbox", "sandbox", _OPERATE),
    "migrate": Place("migrate", "app", _OPERATE),
    "import-sqlite": Place("import_sqlite", "import_sqlite", _OPERATE),
    "config": Place("config", "app", _OPERATE),
    "version": Place("version", "version", _OPERATE),
}


class _Commands(UserDict[str, Any]):
    """Commands by name, loaded as they are looked up."""

    @override
    def __getitem__(self, name: str) -> Any:
        place: Place = self.data[name]
        return place.load(name)


class _Group(typer.core.TyperGroup):
    """Knows its commands by their places."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**options)
        self.commands = _Commands(PLACES)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of ours; else, with that name, a plugin's."""
        return super().get_command(ctx, cmd_name) or plugin_commands().get(cmd_name)

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """For help and completion: ours, then the plugins' that hide none of ours."""
        return [*PLACES, *(name for name in plugin_commands() if name not in PLACES)]


app = typer.Typer(name="tapi-agent", cls=_Group, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Offline-first licensing, entitlements and usage metering for edge vision boxes."""


def main() -> None:
    """Entry point of the console script."""
    # pydantic would look for plugins of its own in every package installed, and fail for one with damaged metadata.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        app(prog_name="tapi-agent")
    except TapiError as error:
        fail(error)
    except Exception:  # noqa: BLE001 - the last one to hear of it
        fail_as_bug()
