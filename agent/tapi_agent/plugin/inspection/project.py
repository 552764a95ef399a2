"""A plugin's project as its pyproject.toml describes it: what it announces, where its modules are, what it lacks."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Self

from tapi_agent.plugin.discovery import GROUP, Candidate, normalized
from tapi_agent.plugin.inspection.finding import Finding, error, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILE = "pyproject.toml"
_TABLE = f"[project.entry-points.{GROUP}]"
_NAME = re.compile(r"[\w.-]+")
"""Of a requirement; what else it says is for pip."""


@dataclass(frozen=True, slots=True)
class Project:
    """A folder and its pyproject.toml, which may say anything."""

    folder: Path
    document: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ``OSError`` or ``ValueError`` when there is no such file, or no TOML in it."""
        return cls(folder, tomllib.loads((folder / FILE).read_text(encoding="utf-8")))

    def plugins(self) -> list[Candidate]:
        """What it announces, as the agent would find it installed."""
        project = self._table("project")
        return [
            Candidate(
                name=name,
                distribution=normalized(str(project.get("name", self.folder.name))),
                version=str(project.get("version", "")),
                entry_point=EntryPoint(name=name, value=value, group=GROUP),
            )
            for name, value in self._announced().items()
            if EntryPoint.pattern.match(value)
        ]

    def roots(self) -> list[Path]:
        """Where its modules may be: beside pyproject.toml, in src, or where hatchling is told to look."""
        packages = self._table("tool", "hatch", "build", "targets", "wheel").get("packages", [])
        places = [self.folder / "src", self.folder, *((self.folder / str(package)).parent for package in packages)]
        return [place for place in dict.fromkeys(places) if place.is_dir()]

    def lacking(self) -> Iterator[Finding]:
        """What the agent, or whoever installs it, will miss."""
        project = self._table("project")
        if "build-system" not in self.document:
            fix = 'requires = ["hatchling"], build-backend = "hatchling.build"'
            yield warning(FILE, "it has no [build-system]", fix)
        for field in ("name", "version"):
            if not isinstance(project.get(field), str) and field not in project.get("dynamic", ()):
                yield error(FILE, f"[project] has no {field}", f"give it a {field}: the agent shows it")
        if "tapi-agent" not in self._needed():
            yield warning(FILE, "it does not depend on tapi-agent", 'dependencies = ["tapi-agent"]')
        yield from self._badly_announced()

    def _badly_announced(self) -> Iterator[Finding]:
        announced = self._announced()
        if not announced:
            fix = f'add {_TABLE} with a line such as my-plugin = "my_plugin"'
            yield error(FILE, f"no plugin is announced in {_TABLE}", fix)
        for name, value in announced.items():
            if not EntryPoint.pattern.match(value):
                yield error(FILE, f"the entry point {name} is {value!r}, which is no module", "write package.module")

    def _announced(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._table("project", "entry-points", GROUP).items()}

    def _needed(self) -> set[str]:
        dependencies = self._table("project").get("dependencies")
        given = dependencies if isinstance(dependencies, list) else []
        return {normalized(name) for one in given for name in _NAME.findall(str(one))[:1]}

    def _table(self, *path: str) -> Mapping[str, Any]:
        """A table within a table; an empty one where something else stands."""
        found: object = self.document
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}
