"""How plugins are loaded, one set after another: who is tried when, and how long all of them may take together.

Blocks, so a running agent calls it on a thread. What comes of a plugin is settled by ``host``, in order.
"""

from __future__ import annotations

import importlib
import site
import sys
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING

from tapi_agent.plugin.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future
    from datetime import timedelta

    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.isolation import Outcome
    from tapi_agent.plugin.plugin import Plugin

_OWN_PACKAGE = __name__.partition(".")[0]


def load_all(plugins: Sequence[Plugin], *, limit: timedelta) -> list[Future[Outcome]]:
    """Load one after another, and from the first on that hangs, all the rest at once.

    In turn, since parallel imports of one library may fail over Python's import locks; but whatever number of plugins
    hangs, it costs two limits at most.
    """
    loadings: list[Future[Outcome]] = []
    for number, plugin in enumerate(plugins, 1):
        loadings.append(plugin.begin())
        if not wait(loadings[-1:], timeout=limit.total_seconds()).done:
            rest = [other.begin() for other in plugins[number:]]
            wait(rest, timeout=limit.total_seconds())
            return loadings + rest
    return loadings


class Look:
    """What is installed, and by ``again`` what is by then, through new .pth files (editable installs) too."""

    def __init__(self) -> None:
        self._followed = _path_files()

    def again(self) -> list[Candidate]:
        """Follows new .pth files only: the code in those that Python has run at its start must not run twice."""
        for file in sorted(_path_files() - self._followed):
            self._followed.add(file)
            site.addpackage(str(file.parent), file.name, None)
        importlib.invalidate_caches()
        return discover()


def _path_files() -> set[Path]:
    folders = {*site.getsitepackages(), site.getusersitepackages()} & set(sys.path)
    return {file for folder in folders for file in Path(folder).glob("*.pth")}


def forget(candidates: Iterable[Candidate], *, running: Iterable[Candidate]) -> None:
    """Drop modules of plugins that are tried again, lest half of an old version stays; none that a running one uses."""
    needed = {_OWN_PACKAGE, *map(_package, running)}
    forgotten = {_package(one) for one in candidates} - needed
    for name in [name for name in sys.modules if name.partition(".")[0] in forgotten]:
        del sys.modules[name]


def _package(candidate: Candidate) -> str:
    return candidate.entry_point.value.partition(":")[0].partition(".")[0].strip()
