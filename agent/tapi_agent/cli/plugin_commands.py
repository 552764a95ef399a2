"""The commands that plugins add: looked for when a name is unknown or help is shown, since that imports them all."""

from __future__ import annotations

import sys
import traceback
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import typer

from tapi_agent.cli.exits import Exit
from tapi_agent.cli.text import harmless
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tapi_agent.plugin.values import Command

_PANEL: Final = "Plugins"
_AS_THEY_ARE: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@cache
def plugin_commands() -> dict[str, Any]:
    """By name. What is wrong with a plugin is said on stderr, and keeps no other from being found."""
    from tapi_agent.plugin.commands import find_commands  # noqa: PLC0415 - brings pluggy and pydantic
    from tapi_agent.settings import load  # noqa: PLC0415 - likewise

    try:
        found = find_commands(disabled=load().plugins_disabled)
    except ConfigurationError as error:
        _say(f"the commands of plugins are not known: {error}")
        return {}
    for trouble in found.troubles:
        _say(trouble)
    return {name: _made(plugin, command) for name, (plugin, command) in found.commands.items()}


def _made(plugin: str, command: Command) -> Any:  # noqa: ANN401 - typer names no type for what it makes
    """In the form that typer's groups know; the arguments go to the plugin as they are."""

    def run(context: typer.Context) -> None:
        try:
            code = command.run(context.args)
        except Exception as error:
            traceback.print_exc()
            _say(f"the command {command.name} of plugin {plugin} failed; its authors want to know")
            raise typer.Exit(Exit.INTERNAL) from error
        raise typer.Exit(code)

    holder = typer.Typer(add_completion=False)
    holder.callback()(lambda: None)
    holder.command(
        command.name,
        help=harmless(command.help),
        context_settings=_AS_THEY_ARE,
        add_help_option=False,
        rich_help_panel=_PANEL,
    )(run)
    return typer.main.get_group(holder).commands[command.name]


def _say(text: str) -> None:
    sys.stderr.write(harmless(f"tapi-agent: {text}\n"))
