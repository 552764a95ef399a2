"""The subcommands that plugins add to ``tapi-agent``, found in the command's own process, where no agent runs.

A plugin is imported and asked for its commands, and for nothing else. Called by ``cli``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from pluggy import PluginManager

from tapi_agent.plugin.contribution import ask
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.importing import check_hooks, import_plugin
from tapi_agent.plugin.isolation import OwnThread
from tapi_agent.plugin.spec import Hooks

if TYPE_CHECKING:
    from collections.abc import Collection

    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.values import Command

_LIMIT: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Commands by name, each with its plugin's; of two with one name the first. ``troubles`` are lines for people."""

    commands: dict[str, tuple[str, Command]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def find_commands(*, disabled: Collection[str], limit: timedelta = _LIMIT) -> Found:
    """Ask every installed plugin but the ``disabled`` ones; none can keep the others from being asked."""
    found = Found()
    for candidate in discover():
        if candidate.name not in disabled:
            _ask(candidate, found, limit)
    return found


def _ask(candidate: Candidate, found: Found, limit: timedelta) -> None:
    thread = OwnThread(candidate.name)
    thread.start()
    outcome = thread.call(partial(_commands, candidate), limit=limit)
    thread.stop()
    if outcome.hung or outcome.error:
        problem = outcome.error or f"loading did not end within {limit.total_seconds():g} s"
        found.troubles.append(f"plugin {candidate.name} cannot be asked for its commands: {problem}")
        return
    for command in outcome.value:
        known, _ = found.commands.setdefault(command.name, (candidate.name, command))
        if known != candidate.name:
            found.troubles.append(f"plugin {candidate.name} has a command {command.name}, as {known} does")


def _commands(candidate: Candidate) -> list[Command]:
    manager = PluginManager("tapi_agent")
    manager.add_hookspecs(Hooks)
    manager.register(import_plugin(candidate), candidate.name)
    check_hooks(manager)
    return ask(manager, "cli_commands", {}) or []
