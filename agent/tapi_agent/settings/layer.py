"""One place that settings come from, as pydantic-settings wants it. ``sources`` fills it, ``Settings`` merges it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from pydantic.fields import FieldInfo


class Layer(PydanticBaseSettingsSource):
    """What one place says: text by field name, with secrets wrapped before anything can print them.

    ``unknown`` are remarks on names it has and we do not, ``risk`` says who else can read or change it.
    """

    def __init__(
        self, origin: str, values: Mapping[str, str | SecretStr], *, unknown: tuple[str, ...] = (), risk: str = ""
    ) -> None:
        super().__init__(BaseSettings)
        self.origin = origin
        self.values = values
        self.unknown = unknown
        self.risk = risk

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The text for one field."""
        return self.values.get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """All of it; layers given earlier win."""
        return dict(self.values)
