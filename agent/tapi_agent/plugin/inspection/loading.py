"""A plugin loaded as the agent would load it, timed, and held against those that are installed."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pluggy import PluginManager

from tapi_agent.domain.errors import RejectedError
from tapi_agent.plugin.contribution import Contribution, Declarations, collect
from tapi_agent.plugin.importing import import_plugin
from tapi_agent.plugin.inspection.finding import Finding, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_agent.plugin.discovery import Candidate

_QUICK_SECONDS = 1.0
_LIMIT_SECONDS = 10.0
"""Of the agent's patience with a plugin that it loads."""
_REPAIR = "repair it: the agent would disable the plugin and say the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A plugin that could be loaded."""

    plugin: Candidate
    contribution: Contribution


def load(plugin: Candidate, roots: Sequence[Path]) -> tuple[Loaded | None, list[Finding]]:
    """Import it and ask what it adds."""
    try:
        began = time.monotonic()
        import_plugin(plugin)
        took = time.monotonic() - began
        contribution = collect(PluginManager("tapi_agent"), plugin)
    except BaseException as failure:  # noqa: BLE001 - SystemExit is a finding too
        return None, [_failed(plugin, failure, roots)]
    loaded = Loaded(plugin=plugin, contribution=contribution)
    return loaded, [*_slow(plugin, took), *_elsewhere(plugin, roots), *_threads(plugin)]


def conflicts(loaded: Sequence[Loaded], installed: Sequence[Loaded]) -> Iterator[Finding]:
    """What the agent would refuse, with these among the installed ones, in the order in which it loads them."""
    known = _refused(installed)
    for plugin, conflict in _refused((*loaded, *installed)).items():
        if plugin in {one.plugin for one in loaded}:
            yield error(plugin.name, str(conflict), conflict.fix or _REPAIR)
        elif plugin not in known:
            problem = f"the installed plugin would be in conflict: {conflict}"
            yield error(plugin.name, problem, "choose other names: that plugin would be disabled")
    names = {one.plugin.name: one.plugin.distribution for one in installed}
    for one in loaded:
        if one.plugin.name in names:
            problem = f"the name is taken by the installed distribution {names[one.plugin.name]}"
            yield error(one.plugin.name, problem, "give the entry point another name")


def _refused(everyone: Sequence[Loaded]) -> dict[Candidate, RejectedError]:
    """Those that are in conflict with one before them."""
    declarations, refused = Declarations(), {}
    for one in sorted(everyone, key=_rank):
        try:
            declarations = declarations.extended(one.plugin, one.contribution)
        except RejectedError as conflict:
            refused[one.plugin] = conflict
    return refused


def _rank(one: Loaded) -> tuple[bool, str, str]:
    return not one.plugin.first_party, one.plugin.distribution, one.plugin.name


def _failed(plugin: Candidate, failure: BaseException, roots: Sequence[Path]) -> Finding:
    text = " ".join(str(failure).split())
    where = _place(failure, roots) or plugin.entry_point.value
    if isinstance(failure, RejectedError):
        return error(where, text, failure.fix or _REPAIR)
    return error(where, f"{type(failure).__name__}: {text}", _REPAIR)


def _place(failure: BaseException, roots: Sequence[Path]) -> str:
    """The last line of the project's own that it came through, be it in the words of the agent."""
    chain = [failure, *([failure.__cause__] if failure.__cause__ else [])]
    frames = [frame for one in chain for frame in traceback.extract_tb(one.__traceback__)]
    own = [frame for frame in frames if _is_in(frame.filename, roots)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


def _slow(plugin: Candidate, took: float) -> Iterator[Finding]:
    fix = "import what is heavy inside the hook that needs it"
    if took > _LIMIT_SECONDS:
        yield error(plugin.name, f"importing it takes {took:.0f} s: the agent gives up after {_LIMIT_SECONDS:g} s", fix)
    elif took > _QUICK_SECONDS:
        yield warning(plugin.name, f"importing it takes {took:.1f} s, by which the agent starts later", fix)


def _elsewhere(plugin: Candidate, roots: Sequence[Path]) -> Iterator[Finding]:
    """A project that was not imported itself: another module of that name came first."""
    file = getattr(sys.modules.get(plugin.entry_point.module), "__file__", None)
    if roots and file is not None and not _is_in(file, roots):
        yield error(plugin.entry_point.module, f"another module has that name: {file}", "rename the module")


def _threads(plugin: Candidate) -> Iterator[Finding]:
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            problem = f"it leaves the thread {thread.name} running: the agent could not end"
            yield error(plugin.name, problem, "Thread(..., daemon=True), or work in hooks and jobs")


def _is_in(file: str, roots: Sequence[Path]) -> bool:
    return any(Path(file).resolve().is_relative_to(root) for root in roots)
