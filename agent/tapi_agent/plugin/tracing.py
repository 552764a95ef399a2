"""The trace switch (PLUGIN_TRACE): every call of a plugin in the log, with its arguments, duration and outcome.

What is shown is short: names and ids come first in our values, so what an application put into an event, or what is in
the body of a batch, is cut off. A call that hangs has no line of its own: ``plugin_disabled`` tells of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALL = "all"
_LONGEST = 80

_log = structlog.get_logger(__name__)


def traced(
    plugin: str, action: str, arguments: Mapping[str, object], function: Callable[[], object]
) -> Callable[[], object]:
    """``function``, which tells on the thread where it runs how it went."""
    shown = {name: _shortened(repr(value)) for name, value in arguments.items()}

    def call() -> object:
        began, outcome = time.monotonic(), "failed"
        try:
            value = function()
            outcome = _summary(value)
        except BaseException as error:
            outcome = f"raised {type(error).__name__}"
            raise
        else:
            return value
        finally:
            took = round((time.monotonic() - began) * 1000, 3)
            _log.info("plugin_call", plugin=plugin, call=action, arguments=shown, took_ms=took, outcome=outcome)

    return call


def _summary(value: object) -> str:
    match value:
        case None:
            return "returned"
        case list():
            return f"returned {len(value)} values"
        case _:
            return f"returned {type(value).__name__}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
