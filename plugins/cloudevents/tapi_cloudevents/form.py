"""An event as a CloudEvent 1.0, in its JSON format. Pure; called by ``sink``."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from tapi_agent.plugin import UsageEvent


def cloudevent(event: UsageEvent, *, prefix: str) -> str:
    """One JSON object. Receivers drop repeats by ``source`` and ``id``, which are the same on every try.

    ``data`` is the recorded text of the event, byte for byte, so that no quantity is rounded by an encoder on the way.
    """
    attributes = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": f"urn:tapi-agent:device:{quote(event.device_id, safe='')}",
        "type": prefix + event.event_type,
        "subject": event.tenant_id,
        "time": event.event_time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z",
        "datacontenttype": "application/json",
    }
    return f'{json.dumps(attributes)[:-1]}, "data": {_data(event)}}}'


def _data(event: UsageEvent) -> str:
    """``billable`` is left out of the text where it is true; who groups by it needs it said."""
    return f'{event.canonical[:-1]},"billable":true}}' if event.billable else event.canonical
