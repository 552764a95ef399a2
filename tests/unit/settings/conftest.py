"""A directory to load settings from, closed off from the machine's own settings and from this process's environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tapi_agent.settings import load, sources

if TYPE_CHECKING:
    from pathlib import Path

    from tapi_agent.settings import Settings


@dataclass
class Place:
    """Where the agent would be started: files written here and ``environ`` are all it sees."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def env_file(self) -> Path:
        return self.directory / ".env"

    @property
    def config(self) -> Path:
        return self.directory / "agent.toml"

    def env(self, *lines: str) -> None:
        self.env_file.write_text("\n".join(lines))

    def toml(self, *lines: str) -> None:
        self.config.write_text("\n".join(lines))

    def credential(self, key: str) -> None:
        (self.directory / "credentials").mkdir()
        (self.directory / "credentials/api-key").write_text(key)
        self.environ["CREDENTIALS_DIRECTORY"] = str(self.directory / "credentials")

    def load(self, **environ: str) -> Settings:
        return load(self.environ | environ, self.directory)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sources, "SYSTEM_CONFIG", tmp_path / "agent.toml")
    return Place(tmp_path)
