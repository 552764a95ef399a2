"""tapi-agent plugins new: a complete plugin to begin with, written from the files in ``plugin_template``."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from tapi_agent.cli.output import console, safe
from tapi_agent.domain.errors import RejectedError

_TEMPLATE: Final = Path(__file__).parent / "plugin_template"
_SUFFIX: Final = ".tmpl"
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST: Final = 40


def new(
    name: Annotated[str, typer.Argument(help="Its name: lower case, words separated by dashes.")],
    into: Annotated[Path, typer.Option("--into", help="Folder in which its own folder is made.")] = Path(),
) -> None:
    """Write a new plugin: a feature, a pack that sells it, a meter, a health check, and tests that pass."""
    _check(name)
    folder = into / name
    _write(name, folder)
    console.print(f"written: {safe(folder)}. Now:", soft_wrap=True)
    for command in ("tapi-agent plugins check", "python -m pip install --editable", "python -m pytest"):
        console.print(f"  {command} {safe(folder)}", soft_wrap=True)


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise RejectedError(
            f"{name!r} is no name for a plugin",
            code="plugin_name",
            fix=f"lower case letters, digits and single dashes, at most {_LONGEST}, such as fork-lifts",
        )
    if _is_taken(_module(name)):
        raise RejectedError(
            f"the name {name} is taken: Python, the agent or an installed package knows {_module(name)}",
            code="plugin_name",
            fix=f"choose another, such as {name}-pack",
        )


def _is_taken(module: str) -> bool:
    """Whether the new module would hide another or be hidden by it, or its pack or feature has a meaning already."""
    from tapi_agent.plugin.base_catalog import PACKS  # noqa: PLC0415 - the other subcommands do not need it

    spec = find_spec(module)
    words = {pack.slug for pack in PACKS} | {key.partition(".")[2] for pack in PACKS for key in pack.features}
    return keyword.iskeyword(module) or module in words | {"tests"} or (spec is not None and spec.origin is not None)


def _write(name: str, folder: Path) -> None:
    words = {"@NAME@": name, "@MODULE@": _module(name), "@TITLE@": name.replace("-", " ").title()}
    try:
        folder.mkdir(parents=True)
        for template in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
            _fill(template, folder / _place(template, words["@MODULE@"]), words)
    except FileExistsError as error:
        raise RejectedError(
            f"{folder} is there already", code="plugin_exists", fix="choose another name, or another folder with --into"
        ) from error
    except OSError as error:
        raise RejectedError(
            f"cannot write {folder}: {error.strerror}", code="plugin_unwritable", fix="name another folder with --into"
        ) from error


def _place(template: Path, module: str) -> Path:
    """Where a template's file belongs in the project. The project's .gitignore must not be one to our own build."""
    place = template.relative_to(_TEMPLATE).with_suffix("")
    name = place.name.replace("module", module).replace("gitignore", ".gitignore")
    return place.with_name(name)


def _fill(template: Path, target: Path, words: dict[str, str]) -> None:
    text = template.read_text(encoding="utf-8")
    for blank, word in words.items():
        text = text.replace(blank, word)
    target.parent.mkdir(exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(text)


def _module(name: str) -> str:
    return name.replace("-", "_")
