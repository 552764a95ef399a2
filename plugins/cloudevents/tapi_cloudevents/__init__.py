"""CloudEvents sink: every recorded event, as a CloudEvent, to the receiver at CLOUDEVENTS_URL (such as OpenMeter).

The hooks are below. The agent keeps the cursor and repeats what was not taken; billing goes its own way all the while.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from tapi_agent.plugin import Health, hookimpl
from tapi_cloudevents.receiver import Receiver
from tapi_cloudevents.settings import read
from tapi_cloudevents.sink import CloudEventsSink

if TYPE_CHECKING:
    from tapi_agent.plugin import UsageSink

_settings = read(os.environ)


@hookimpl
def usage_sink() -> UsageSink | None:
    """The sink, when there is an address."""
    return _sink()


@hookimpl
def health_checks() -> list[Health]:
    """How the last delivery went; nothing while the plugin is off."""
    sink = _sink()
    return [sink.health()] if sink else []


@hookimpl
def doctor_checks() -> list[Health]:
    """Whether it is on."""
    return [Health(name="cloudevents", healthy=True, detail=_settings.url if _settings else _OFF)]


_OFF = "off: CLOUDEVENTS_URL is not set"


@cache
def _sink() -> CloudEventsSink | None:
    return CloudEventsSink(Receiver(_settings), prefix=_settings.prefix) if _settings else None
