"""What can be seen in a plugin's source without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import tapi_agent.plugin
from tapi_agent.plugin.inspection.finding import Finding, error, warning
from tapi_agent.plugin.spec import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PUBLIC = "tapi_agent.plugin"
_FOR_TESTS = "tapi_agent.testing."


def read(file: Path) -> Iterator[Finding]:
    """The findings in one file; one that cannot be parsed is left to the import, which says why."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        where = f"{file.name}:{getattr(node, 'lineno', 0)}"
        for private in _private(node):
            fix = f"import only from {_PUBLIC}: everything else may change with any version"
            yield error(where, f"{private} is the agent's own", fix)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in HOOKS and not node.decorator_list:
            yield warning(f"{file.name}:{node.lineno}", f"{node.name} is never called", "mark it with @hookimpl")


def _private(node: ast.AST) -> Iterator[str]:
    """What a node imports of the agent that is not for plugins."""
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names if not _is_public(alias.name))
        case ast.ImportFrom(module="tapi_agent" | "tapi_agent.plugin" as module, level=0):
            names = (f"{module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if not _is_public(name))
        case ast.ImportFrom(module=str(module), level=0) if not _is_public(module):
            yield module
        case _:
            pass


def _is_public(name: str) -> bool:
    if not f"{name}.".startswith("tapi_agent."):
        return True
    module, _, member = name.rpartition(".")
    exported = module == _PUBLIC and member in {"*", *tapi_agent.plugin.__all__}
    return exported or name == _PUBLIC or f"{name}.".startswith(_FOR_TESTS)
