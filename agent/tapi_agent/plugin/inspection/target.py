"""What is to be inspected: a project's folder, or a plugin that is installed. Imports and installs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tapi_agent.plugin.discovery import Candidate, discover, normalized
from tapi_agent.plugin.inspection.finding import Finding, error
from tapi_agent.plugin.inspection.project import FILE, Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The plugins of one distribution, where a project's modules are, and what its metadata lacks."""

    plugins: Sequence[Candidate] = ()
    roots: Sequence[Path] = ()
    findings: Sequence[Finding] = ()

    def sources(self) -> Iterator[Path]:
        """The files of the packages that its entry points name; the agent's own are no plugin's."""
        packages = {plugin.entry_point.module.partition(".")[0] for plugin in self.plugins}
        for package in sorted(packages - {"tapi_agent"}):
            yield from _of_project(package, self.roots) if self.roots else _of_installed(package)


def locate(name: str) -> Target:
    """The target that ``name`` stands for: a folder, else an installed plugin or distribution."""
    folder = Path(name)
    if folder.is_dir():
        return _project(folder.resolve())
    plugins = [one for one in discover() if name == one.name or normalized(name) == one.distribution]
    if plugins:
        return Target(plugins=plugins)
    fix = "name a project's folder, or a plugin that `tapi-agent plugins list` shows"
    return Target(findings=[error(name, "there is no such folder, and no such plugin is installed", fix)])


def _project(folder: Path) -> Target:
    try:
        project = Project.read(folder)
    except FileNotFoundError:
        fix = "begin with one that `tapi-agent plugins new NAME` writes"
        return Target(findings=[error(str(folder), f"there is no {FILE}", fix)])
    except (OSError, ValueError) as unreadable:
        return Target(findings=[error(FILE, f"it cannot be read: {unreadable}", "write it as TOML, in UTF-8")])
    return Target(plugins=project.plugins(), roots=project.roots(), findings=list(project.lacking()))


def _of_project(package: str, roots: Sequence[Path]) -> list[Path]:
    for root in roots:
        if (root / f"{package}.py").is_file():
            return [root / f"{package}.py"]
        if (root / package).is_dir():
            return sorted((root / package).rglob("*.py"))
    return []


def _of_installed(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    if spec.submodule_search_locations is None:
        return [Path(spec.origin)]
    return sorted(file for place in spec.submodule_search_locations for file in Path(place).rglob("*.py"))
