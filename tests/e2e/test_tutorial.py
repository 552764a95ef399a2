"""docs/first-growth-pack.md, word for word: its files written, its commands run, their outputs compared."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from author_tools import Workbench

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

TUTORIAL = (Path(__file__).parents[2] / "docs" / "first-growth-pack.md").read_text()
ANYTHING = re.compile(r"(?<!\.)\.\.\.(?!\.)")
DENIED = re.compile(r": denied \(")


def blocks() -> Iterator[tuple[str, str]]:
    """Language and text of each code block."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)


def steps() -> Iterator[tuple[str, str]]:
    """Each command with the output shown below it; a file to be written is a command too."""
    for language, text in blocks():
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            yield f"tail -n +2 > {name} <<'END_OF_FILE'\n{text}END_OF_FILE", ""
        else:
            for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = step.partition("\n")
                yield command, output


def pattern(shown: str) -> str:
    """A regular expression for an output: ``...`` is anything, and trailing blanks do not count."""
    lines = (r".*".join(map(re.escape, ANYTHING.split(line.rstrip()))) for line in shown.splitlines())
    return r"\s*\n".join(lines) + r"\s*"


@pytest.fixture
def workbench(folder: Path) -> Workbench:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 18081))  # the tutorial's port must be free
    return Workbench(folder)


def test_every_command_of_the_tutorial(workbench: Workbench) -> None:
    told = list(steps())
    done = workbench.run(*(command for command, _ in told))
    for (command, shown), one in zip(told, done, strict=True):
        seen = f"$ {command}\n{one.output}"
        assert re.fullmatch(pattern(shown), one.output, re.DOTALL), seen
        assert one.code == (1 if DENIED.search(shown) else 0), seen
