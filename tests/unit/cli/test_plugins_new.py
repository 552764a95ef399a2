"""``plugins new`` and ``plugins check`` at the command line. That the result works is tests/e2e/test_plugins_new.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tapi_agent.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``plugins`` with these arguments, in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tapi-agent", "plugins", *arguments])
        with pytest.raises(SystemExit) as caught:
            main.main()
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_what_is_written_and_what_comes_next(run: Run, tmp_path: Path) -> None:
    code, out, err = run("new", "fork-lifts")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "written: fork-lifts. Now:",
        "  tapi-agent plugins check fork-lifts",
        "  python -m pip install --editable fork-lifts",
        "  python -m pytest fork-lifts",
    ]
    written = contents(tmp_path / "fork-lifts")
    assert set(written) == {
        ".gitignore",
        "README.md",
        "fork_lifts.py",
        "pyproject.toml",
        "tests/conftest.py",
        "tests/test_fork_lifts.py",
    }
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert (project["name"], project["entry-points"]["tapi_agent"]) == ("fork-lifts", {"fork-lifts": "fork_lifts"})
    assert "analytics.fork_lifts" in written["README.md"]
    assert 'title="Fork Lifts"' in written["fork_lifts.py"]
    assert not any("@NAME@" in text or "@MODULE@" in text or "@TITLE@" in text for text in written.values())


def test_into_makes_the_folders_it_needs(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("new", "fork-lifts", "--into", "far/away")
    assert code == 0
    assert "python -m pytest far/away/fork-lifts" in out
    assert (tmp_path / "far/away/fork-lifts/fork_lifts.py").is_file()


@pytest.mark.parametrize("name", ["x", "warehouse", "a1-b2", "a-very-long-name-for-such-a-small-plugin"])
def test_every_name_makes_a_clean_plugin(run: Run, name: str) -> None:
    assert run("new", name)[0] == 0
    assert run("check", name) == (0, "no findings: it can be installed\n", "")
    ignored = "--ignore=COM812,CPY,D203,D213,INP001"
    in_tests = [f"--per-file-ignores=test_*:{rule}" for rule in ("S101", "D103", "PLR2004")]
    for command in (["check", "--select=ALL", ignored, *in_tests], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--isolated", name], check=True)


REFUSED = {
    "upper case": "Fork-Lifts",
    "underscore": "fork_lifts",
    "two dashes": "fork--lifts",
    "dash at the end": "fork-",
    "digit first": "4-lifts",
    "a path": "../lifts",
    "empty": "",
    "too long": "a" * 41,
    "a module of Python": "json",
    "a keyword": "class",
    "an installed package": "pluggy",
    "our own": "tapi-agent",
    "its own tests": "tests",
    "a pack that is there": "intelligence",
    "a feature that is there": "heatmap",
}


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_names_that_would_not_work_are_refused(run: Run, tmp_path: Path, name: str) -> None:
    code, out, err = run("new", name)
    assert (code, out) == (2, "")
    assert "\n  → " in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["a folder", "a file"])
def test_nothing_is_overwritten(run: Run, tmp_path: Path, there: str) -> None:
    place = tmp_path / "fork-lifts"
    place.mkdir() if there == "a folder" else place.write_text("mine")
    code, _, err = run("new", "fork-lifts")
    assert code == 2
    assert err.startswith("tapi-agent: fork-lifts is there already\n  → ")
    assert place.read_text() == "mine" if there == "a file" else list(place.iterdir()) == []


def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = run("new", "fork-lifts", "--into", "file")
    assert code == 2
    assert err.startswith("tapi-agent: cannot write file/fork-lifts: Not a directory\n  → ")


@pytest.fixture
def misspelt(run: Run, tmp_path: Path) -> None:
    run("new", "fork-lifts")
    module = tmp_path / "fork-lifts" / "fork_lifts.py"
    module.write_text(module.read_text().replace("def register_features", "def register_feature"))


@pytest.mark.usefixtures("misspelt")
def test_findings_are_shown_with_their_remedies(run: Run) -> None:
    code, out, err = run("check", "fork-lifts")
    assert (code, err) == (1, "")
    assert out.splitlines()[0].split() == ["LEVEL", "WHERE", "PROBLEM", "AND", "REMEDY"]
    assert "unknown hook 'register_feature': did you mean register_features?" in " ".join(out.split())
    assert "→ correct the name of the function" in out


@pytest.mark.usefixtures("misspelt")
def test_findings_as_json(run: Run) -> None:
    code, out, _ = run("check", "fork-lifts", "--json")
    document = json.loads(out)
    assert (code, document["schema"]) == (1, 1)
    (finding,) = document["findings"]
    assert (finding["level"], finding["where"]) == ("error", "fork_lifts")
    assert finding["problem"].endswith("did you mean register_features?")


def test_warnings_alone_are_no_failure(run: Run, tmp_path: Path) -> None:
    run("new", "fork-lifts")
    module = tmp_path / "fork-lifts" / "fork_lifts.py"
    module.write_text(module.read_text().replace('unit="count"', 'unit="Runs"'))
    code, out, _ = run("check", "fork-lifts")
    assert (code, "warning" in out) == (0, True)
