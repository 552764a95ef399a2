"""docs/errors.md names every error and code there is, and none that is not."""

from __future__ import annotations

import ast
import re
from itertools import chain
from pathlib import Path

from tapi_agent.domain.camera import SetupRefusal
from tapi_agent.domain.delivery import TransportFailure
from tapi_agent.domain.errors import TapiError
from tapi_agent.domain.settlement import PauseReason
from tapi_agent.domain.usage import DeadReason, Refusal

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "errors.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
PACKAGE = CHECKOUT / "agent" / "tapi_agent"
SOURCES = [
    # The sandbox is a program of its own; its codes are in docs/sandbox.md.
    ast.parse(module.read_text())
    for module in PACKAGE.rglob("*.py")
    if not module.is_relative_to(PACKAGE / "sandbox")
]
NODES = list(chain.from_iterable(map(ast.walk, SOURCES)))


def errors() -> set[str]:
    """Every class that stems from ``TapiError``, wherever it is defined."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for node in NODES
        if isinstance(node, ast.ClassDef)
    }
    found = {TapiError.__name__}
    while more := {name for name, parents in bases.items() if parents & found} - found:
        found |= more
    return found


def codes() -> set[str]:
    """Every code that is written out where an error is made, and the members of those that are enumerated."""
    keywords = chain.from_iterable(node.keywords for node in NODES if isinstance(node, ast.Call))
    literal = {
        keyword.value.value
        for keyword in keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }
    return literal | set(chain(Refusal, SetupRefusal, DeadReason, PauseReason, TransportFailure))


def test_every_error_is_documented() -> None:
    assert errors() - DOCUMENTED == set()


def test_every_code_is_documented() -> None:
    assert codes() - DOCUMENTED == set()


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert DOCUMENTED - errors() - codes() == set()
