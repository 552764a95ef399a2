"""What must hold of the project as a whole, and no linter checks."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
MODULES = sorted([*(CHECKOUT / "agent").rglob("*.py"), *(CHECKOUT / "plugins").glob("*/tapi_*/**/*.py")])
UNIT = CHECKOUT / "tapi-agent.service"


def tracked_text() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    files = [CHECKOUT / name for name in listed.stdout.splitlines()]
    return {str(file.relative_to(CHECKOUT)): file.read_text(errors="replace") for file in files if file.is_file()}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_module_says_what_it_owns_and_stays_small(module: Path) -> None:
    source = module.read_text()
    assert ast.get_docstring(ast.parse(source)), "no docstring"
    assert len(source.splitlines()) <= 300


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_lock_pins_every_dependency_with_hashes_and_names_no_index() -> None:
    lock = (CHECKOUT / "requirements.lock").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = [
        *project["project"]["dependencies"],
        *(one for extra in extras for one in extra),
        *project["build-system"]["requires"],
    ]
    assert {re.match(r"[a-z0-9-]+", one)[0] for one in wanted} <= pinned
    assert "--hash=sha256:" in lock
    assert not re.search(r"https?://|index-url|find-links", lock)


def test_no_file_names_a_package_index_or_this_machine() -> None:
    pattern = re.compile(
        r"(index-url|find-links)[ =]|pypi\.org|files\.pythonhosted|/packages/[0-9a-f]{2}/|" + re.escape(f"{CHECKOUT}/")
    )
    own = "tests/architecture/test_project.py"
    found = [name for name, text in tracked_text().items() if name != own and pattern.search(text)]
    assert found == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_verifies_without_a_word(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "tapi-agent"
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/tapi-agent", str(command)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_adr_follows_the_template() -> None:
    sections = ["## Context", "## Decision", "## Consequences", "## Rejected"]
    for adr in sorted((CHECKOUT / "docs" / "adr").glob("[0-9]*.md")):
        assert re.findall(r"^## .*$", adr.read_text(), re.MULTILINE) == sections, adr.name
