"""Importing a plugin, with what can go wrong there said in words that tell its operator what to do.

Runs on the plugin's own thread. What a plugin registers once it is imported is ``contribution``.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import RejectedError
from tapi_agent.plugin.spec import HOOKS

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pluggy import PluginManager

    from tapi_agent.plugin.discovery import Candidate


def import_plugin(candidate: Candidate) -> object:
    """What its entry point names: a module, or an object in one. Raises what importing it raises, in our words."""
    point = candidate.entry_point
    if not point.pattern.match(point.value):
        raise RejectedError(
            f"its entry point {point.value!r} is not of the form module or module:object",
            code="entry_point",
            fix=f"correct pyproject.toml of {candidate.distribution}",
        )
    try:
        import_module(point.module)
    except ModuleNotFoundError as error:
        raise _missing(error.name or str(error), candidate) from error
    try:
        return point.load()
    except AttributeError as error:
        raise _no_object(point, candidate) from error


def check_hooks(manager: PluginManager) -> None:
    """Refuse hooks that do not exist, rather than never calling them; the nearest that does is named."""
    for name in _unknown(manager):
        close = get_close_matches(name, HOOKS, n=1)
        raise RejectedError(
            f"unknown hook {name!r}" + (f": did you mean {close[0]}?" if close else ""),
            code="unknown_hook",
            fix="correct the name of the function; docs/hooks.md lists all hooks",
        )


def _unknown(manager: PluginManager) -> list[str]:
    callers = {name: caller for name, caller in vars(manager.hook).items() if not name.startswith("_")}
    return [
        name
        for name, caller in callers.items()
        if not caller.has_spec() and not all(one.optionalhook for one in caller.get_hookimpls())
    ]


def _missing(module: str, candidate: Candidate) -> RejectedError:
    own = candidate.entry_point.module
    if own == module or own.startswith(f"{module}."):
        return RejectedError(
            f"its entry point names the module {module!r}, which distribution {candidate.distribution} does not have",
            code="module_missing",
            fix=f"reinstall it: pip install --force-reinstall --no-deps {candidate.distribution}",
        )
    return RejectedError(
        f"the module {module!r}, which distribution {candidate.distribution} needs, is not installed",
        code="dependency_missing",
        fix=f"install it where the agent is (pip install {candidate.distribution} brings what that declares)",
    )


def _no_object(point: EntryPoint, candidate: Candidate) -> RejectedError:
    return RejectedError(
        f"its entry point names {point.value}, but module {point.module} has no {point.attr}",
        code="entry_point",
        fix=f"correct pyproject.toml of {candidate.distribution}, or reinstall it",
    )
