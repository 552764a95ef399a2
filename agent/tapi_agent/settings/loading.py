"""The one door to the settings: read every source, merge, check, and say everything that is wrong at once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr, ValidationError

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.settings.model import DEFAULT, Settings, contradictions
from tapi_agent.settings.sources import read
from tapi_agent.settings.values import shown
from tapi_agent.settings.variables import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tapi_agent.settings.layer import Layer

_CONSEQUENCE: Final = "default_factory_not_called"  # a default that is computed from a value which is itself wrong


def load(environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Settings:
    """The settings in force: environment before .env before the systemd credential before agent.toml before defaults.

    ``environ`` and ``cwd`` default to this process's. Raises ``ConfigurationError``, which names every wrong variable,
    what was given (never a secret) and what is allowed.
    """
    environ = os.environ if environ is None else environ
    layers = read(environ, cwd or _current_directory(), root=os.geteuid() == 0)
    try:
        settings = Settings(*layers)
    except ValidationError as error:  # left behind here: it holds what was given, secrets included
        wrong = list(_explained(error, layers))
    else:
        wrong = list(contradictions(settings))
        if not wrong:
            return settings
    raise ConfigurationError(
        _together(wrong), fix="correct the value; `tapi-agent config check` tells whether all is well"
    )


def _current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError("the current directory is gone", fix="cd to one that exists") from error


def _together(wrong: Sequence[str]) -> str:
    if len(wrong) == 1:
        return wrong[0]
    return "\n  ".join((f"{len(wrong)} settings are wrong:", *wrong))


def _explained(error: ValidationError, layers: Sequence[Layer]) -> Iterator[str]:
    """One line for each wrong variable, in the order of the documentation."""
    details = error.errors(include_url=False, include_context=False)
    wrong = {str(detail["loc"][0]): detail["input"] for detail in details if detail["type"] != _CONSEQUENCE}
    for field, variable in VARIABLES.items():
        if field in wrong:
            layer = next((layer for layer in layers if field in layer.values), None)
            given = layer.values[field] if layer else wrong[field]
            origin = layer.origin if layer else DEFAULT
            yield f"{variable.name} ({origin}) is {_given(given)}; allowed: {variable.allowed}"


def _given(given: Any) -> str:  # noqa: ANN401 - what validation refused
    if isinstance(given, SecretStr):
        return "wrong (a secret, not shown)"
    from tapi_agent.telemetry import redacted_text  # noqa: PLC0415 - prometheus would slow down every CLI command

    return shown(redacted_text(str(given)))
