"""The settings seen as variables: name, group, what is allowed in words. Sources, errors and templates read this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from pydantic import SecretStr

from tapi_agent.settings.agent import Files
from tapi_agent.settings.model import GROUPS
from tapi_agent.settings.values import Allowed, DefaultNote, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting: ``field`` is its name in lower case (in TOML), ``name`` in upper case (everywhere else).

    ``kind`` is the bare Python type; ``default_note`` is not empty when the default depends on the machine.
    """

    field: str
    group: type[BaseModel]
    description: str
    kind: Any
    allowed: str
    default_note: str

    @property
    def name(self) -> str:
        """As the environment and .env have it."""
        return self.field.upper()

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind is SecretStr

    @property
    def is_path(self) -> bool:
        """Whether a relative value counts from the current directory."""
        return self.kind is Path

    @property
    def environment_only(self) -> bool:
        """Whether files cannot set it, because it says which files are read."""
        return self.group is Files


def _variable(group: type[BaseModel], name: str, field: FieldInfo) -> Variable:
    kind, metadata = _unwrapped(field)
    notes = [note.words for note in metadata if isinstance(note, DefaultNote)]
    return Variable(
        field=name,
        group=group,
        description=field.description or "",
        kind=kind,
        allowed=_in_words(kind, metadata),
        default_note="".join(notes),
    )


def _unwrapped(field: FieldInfo) -> tuple[Any, tuple[Any, ...]]:
    """The bare type and all its metadata, looking through ``X | None``."""
    kind: Any = field.annotation
    metadata = tuple(field.metadata)
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        metadata = (*inner, *metadata)
    return kind, metadata


def _in_words(kind: Any, metadata: tuple[Any, ...]) -> str:  # noqa: ANN401 - a type form has no type
    words = [note.words for note in metadata if isinstance(note, Allowed)]
    limits = {name: getattr(limit, name) for limit in metadata for name in ("ge", "le") if hasattr(limit, name)}
    bounds = "".join(
        f" {word} {as_text(kind(limits[name]))}" for name, word in (("ge", "from"), ("le", "to")) if name in limits
    )
    if words:
        return words[-1] + bounds
    plain = {bool: "true or false (also 1/0, yes/no, on/off)", int: "a whole number", float: "a number (decimals too)"}
    return plain[kind] + bounds if kind in plain else "one of " + ", ".join(get_args(kind))


VARIABLES: Final[Mapping[str, Variable]] = {
    name: _variable(group, name, field) for group in GROUPS for name, field in group.model_fields.items()
}
"""By field name, in the order of the documentation."""
