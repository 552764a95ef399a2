"""Where an author of plugins works: a folder, a Python environment, a shell. Nothing comes from an index."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ENDED = "@@ended"
_SCRIPT = "from tapi_agent.cli.main import main\nmain()\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command as it was typed, all it said, and its exit code."""

    command: str
    output: str
    code: int


class Workbench:
    """A folder with an environment that sees this one's packages, and into which ``pip install`` goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._home = folder / "env"
        venv.EnvBuilder(symlinks=True).create(self._home)
        packages = self._home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        inherited = sysconfig.get_path("purelib")
        (packages / "inherited.pth").write_text(f"import site; site.addsitedir({inherited!r})\n")
        script = self._home / "bin" / "tapi-agent"
        script.write_text(f"#!{self.python}\n{_SCRIPT}")
        script.chmod(0o755)

    @property
    def python(self) -> Path:
        return self._home / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        """What a fresh shell would have, and what keeps pip from the network."""
        measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS")}
        return {
            "PATH": f"{self._home / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "COLUMNS": "80",
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: no isolation, the build takes the hatchling that is here
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": "-o asyncio_default_fixture_loop_scope=function -p no:cacheprovider -W error",
            **measured,
        }

    def run(self, *commands: str, patience: float = 110) -> list[Done]:
        """Run the commands in one shell, one after another, whatever becomes of each."""
        script = self.folder / "session.sh"
        script.write_text("".join(f"{command}\nprintf '\\n%s %s\\n' {_ENDED} $?\n" for command in commands))
        shell = subprocess.run(
            ["bash", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience,
            check=False,
        )
        parts = shell.stdout.split(f"\n{_ENDED} ")
        codes = [int(part.partition("\n")[0]) for part in parts[1:]]
        outputs = [parts[0], *(part.partition("\n")[2] for part in parts[1:-1])]
        return [Done(command=c, output=o, code=code) for c, o, code in zip(commands, outputs, codes, strict=True)]
