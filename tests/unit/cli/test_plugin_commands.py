"""Subcommands that plugins add to ``tapi-agent``, in a process of its own, as an operator meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "from tapi_agent.plugin import *\nfrom tapi_agent.plugin import hookimpl\n"
FAX = """
def send(arguments):
    print("sent", *arguments)
    return 3

@hookimpl
def cli_commands():
    return [Command(name="fax", help="Send a page.", run=send), Command(name="status", help="Hide ours.", run=send)]
"""


class Shell:
    """``tapi-agent`` with these plugins installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, name: str, source: str) -> None:
        info = self._folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tapi_agent]\n{name} = plugin_{name}\n")
        (self._folder / f"plugin_{name}.py").write_text(HEAD + source)

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(self._folder), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "tapi_agent", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "TAPI_STATE_DIR": str(self._folder), **settings},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_command_gets_its_arguments_as_they_are_and_says_the_exit_code(shell: Shell) -> None:
    shell.install("fax", FAX)
    done = shell.run("fax", "a b", "--help", "-x", "--to=1")
    assert (done.returncode, done.stdout, done.stderr) == (3, "sent a b --help -x --to=1\n", "")


def test_help_lists_them_beside_ours_and_none_hides_ours(shell: Shell) -> None:
    shell.install("fax", FAX)
    out = shell.run("--help").stdout
    assert "Send a page." in out
    assert "Hide ours." not in out
    assert "sent" not in shell.run("status").stdout


@pytest.mark.parametrize(
    ("source", "trouble"),
    [
        ("import no_such_dependency", "the module 'no_such_dependency', which distribution bad needs"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("@hookimpl\ndef cli_commands(): return 42", "cli_commands() gave int"),
    ],
    ids=["dependency", "exits", "rubbish"],
)
def test_a_bad_plugin_breaks_no_other_command(shell: Shell, source: str, trouble: str) -> None:
    shell.install("bad", source)
    shell.install("fax", FAX)
    done = shell.run("fax")
    assert (done.returncode, done.stdout) == (3, "sent\n")
    assert done.stderr.startswith("tapi-agent: plugin bad cannot be asked for its commands: ")
    assert trouble in done.stderr
    assert shell.run("version").stderr == "", "our own commands do not even look"


def test_a_command_that_fails_is_its_plugins_fault(shell: Shell) -> None:
    shell.install("bad", "@hookimpl\ndef cli_commands(): return [Command(name='bad', help='', run=lambda _: 1 / 0)]")
    done = shell.run("bad")
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.endswith("tapi-agent: the command bad of plugin bad failed; its authors want to know\n")


def test_of_two_with_one_name_the_first_wins_and_both_are_named(shell: Shell) -> None:
    shell.install("fax", FAX)
    shell.install("zebra", "@hookimpl\ndef cli_commands(): return [Command(name='fax', help='', run=lambda _: 9)]")
    done = shell.run("fax")
    assert (done.returncode, done.stderr) == (3, "tapi-agent: plugin zebra has a command fax, as fax does\n")


def test_one_that_is_left_out_is_not_even_imported(shell: Shell) -> None:
    shell.install("bad", "raise AssertionError")
    done = shell.run("nosuch", PLUGINS_DISABLED="bad")
    assert done.returncode == 2
    assert "No such command 'nosuch'" in done.stderr
    assert "bad" not in done.stderr


def test_without_readable_settings_no_plugin_is_imported(shell: Shell) -> None:
    shell.install("bad", "raise AssertionError('imported')")
    done = shell.run("nosuch", PLUGIN_TIMEOUT_SECONDS="soon")
    assert done.returncode == 2
    assert "the commands of plugins are not known" in done.stderr
    assert "imported" not in done.stderr
