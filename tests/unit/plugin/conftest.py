"""Real plugin distributions, written into a folder on the path: metadata, entry points, modules."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "from __future__ import annotations\nfrom tapi_agent.plugin import *\nfrom tapi_agent.plugin import hookimpl\n"


class Site:
    """A folder of installed distributions, as pip would leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, *, version: str = "1.0", **plugins: str) -> None:
        """A distribution with one module for each plugin, named like it; ``plugins`` gives the modules' source."""
        lines = [f"{name.replace('_', '-')} = {module(name)}" for name in plugins]
        self.announce(distribution, "[tapi_agent]\n" + "\n".join(lines), version=version)
        for name, source in plugins.items():
            (self.folder / f"{module(name)}.py").write_text(HEADER + dedent(source))

    def announce(self, distribution: str, entry_points: str, *, version: str = "1.0") -> None:
        """The metadata alone."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)


def module(plugin: str) -> str:
    return f"plugin_under_test_{plugin}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on the path; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Site(tmp_path)
    for name in [name for name in sys.modules if name.startswith(module(""))]:
        released = getattr(sys.modules.pop(name), "RELEASE", None)
        if released is not None:
            released.set()  # lets threads end that a test has hung on purpose
