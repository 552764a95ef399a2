"""The settings for people: what is in force, and the templates and tables of docs, all from the same definitions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from pydantic import ByteSize

from tapi_agent.settings.model import GROUPS, Settings
from tapi_agent.settings.values import as_text
from tapi_agent.settings.variables import VARIABLES, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

_WIDTH: Final = 100
_ASKED_FOR: Final = frozenset({"tenant_id", "billing_service_url", "billing_api_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting in force; ``source`` is default, agent.toml, credential, .env or environment."""

    name: str
    value: str
    source: str


def describe(settings: Settings) -> tuple[Row, ...]:
    """Every setting, secrets masked, unset ones empty."""
    return tuple(
        Row(name=variable.name, value=as_text(getattr(settings, field)), source=settings.origin(field))
        for field, variable in VARIABLES.items()
    )


def render_env_template() -> str:
    """A commented .env: copied as it is, it changes nothing."""
    intro = (
        "Settings of tapi-agent. Copy this to .env and take the # off what you change.",
        "An empty value counts as not given. Quote values that contain # or quotes.",
    )
    return _template(intro, tuple(VARIABLES.values()), _env_line)


def render_agent_toml() -> str:
    """A commented agent.toml: installed as it is, it changes nothing."""
    intro = (
        "Settings of tapi-agent. The names are the variables' in lower case; there are no [tables].",
        "The systemd credential api-key, .env and the environment win over this file, in this order.",
    )
    return _template(intro, tuple(v for v in VARIABLES.values() if not v.environment_only), _toml_line)


def render_reference() -> str:
    """Markdown: a table for each group."""
    return "\n".join(line for group in GROUPS for line in _reference(group))


def _template(intro: Iterable[str], variables: Iterable[Variable], line: Callable[[Variable], str]) -> str:
    lines = [f"# {text}" for text in intro]
    for group, members in groupby(variables, key=lambda variable: variable.group):
        heading, about = _title(group)
        lines += ["", f"# ---- {heading} ".ljust(_WIDTH, "-"), *_comment(about)]
        for variable in members:
            facts = f"Allowed: {variable.allowed}. Default: {_default(variable) or 'not set'}."
            lines += ["", *_comment(variable.description), *_comment(facts), line(variable)]
    return "\n".join(lines) + "\n"


def _title(group: type[BaseModel]) -> tuple[str, str]:
    heading, _, about = (group.__doc__ or "").partition(".")
    return heading, about.strip()


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def _default(variable: Variable) -> str:
    return variable.default_note or as_text(getattr(Settings(), variable.field))


def _env_line(variable: Variable) -> str:
    default = "" if variable.default_note else _default(variable)
    return f"{'' if variable.field in _ASKED_FOR else '#'}{variable.name}={default}"


def _toml_line(variable: Variable) -> str:
    value = None if variable.default_note else getattr(Settings(), variable.field)
    bare = isinstance(value, bool | int | float) and not isinstance(value, ByteSize)
    return f"#{variable.field} = {as_text(value) if bare else json.dumps(as_text(value))}"


def _reference(group: type[BaseModel]) -> Iterator[str]:
    heading, about = _title(group)
    yield from (f"### {heading}", "", *([about, ""] if about else []))
    yield from ("| Variable | Meaning | Allowed | Default |", "| --- | --- | --- | --- |")
    for variable in VARIABLES.values():
        if variable.group is group:
            default = _default(variable) or "not set"
            yield f"| `{variable.name}` | {variable.description} | {variable.allowed} | {default} |"
    yield ""
