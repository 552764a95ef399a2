"""What a look at the installed packages means for the plugins that are loaded: who stays, who is tried (again)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.plugin.contribution import Contribution

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.plugin import Plugin

Trials = dict["Candidate", Contribution]
"""Who is to be loaded, with what it brought before: that stays known whatever comes of it."""


def sort_out(known: Iterable[Plugin], found: Iterable[Candidate]) -> tuple[list[Plugin], Trials]:
    """Who stays as it is, and who is tried. Who runs is left running, with ``pending`` saying what a restart changes.

    Who is neither running nor installed is in neither, unless the agent still knows what it brought.
    """
    installed = {(one.distribution, one.name): one for one in found}
    stay: list[Plugin] = []
    trials: Trials = {}
    for plugin in known:
        candidate = installed.pop((plugin.candidate.distribution, plugin.candidate.name), None)
        plugin.pending = _pending(plugin, candidate)
        if plugin.enabled or plugin.pending or (plugin.left_out and plugin.candidate == candidate):
            stay.append(plugin)
        elif candidate is not None:
            trials[candidate] = plugin.contribution
    return stay, trials | dict.fromkeys(installed.values(), Contribution())


def _pending(plugin: Plugin, installed: Candidate | None) -> str | None:
    if installed is None:
        return "restart to be rid of it: it is not installed any more" if plugin.contribution.hooks else None
    if plugin.hanging:
        return "restart to try it again: a call that it was left behind in still goes on"
    if plugin.enabled and installed.version != plugin.candidate.version:
        return f"restart to change to version {installed.version}"
    return None
