"""What an application may ask the agent, blocking, over its Unix socket. Replies are as the API sent them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

from tapi_agent.client.connection import Connection
from tapi_agent.client.quotas import QuotaCalls
from tapi_agent.client.usage_proof import ProofCalls
from tapi_agent.domain.errors import InvalidInputError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

_LONG: Final = 60.0
"""Seconds for what makes the agent talk to the billing service."""
_BACKLOG: Final = 600.0
"""Seconds for what sends all that waits."""
_WRONG_CLOCK: Final = frozenset({"TOO_OLD", "IN_FUTURE"})


class AgentClient(QuotaCalls, ProofCalls):
    """Speaks HTTP/1.1 JSON over ``socket``; ``timeout`` in seconds, for each try. Threads and forks may share it.

    Every method returns the decoded reply, as docs/api.md has it. It raises ``UnavailableError`` when the agent is not
    there, does not answer in time or cannot serve this now, and ``RejectedError`` with the agent's ``code`` and ``fix``
    when it refuses.
    """

    def __init__(self, socket: Path, *, timeout: float = 5.0) -> None:
        super().__init__(Connection(socket, timeout=timeout))

    def __enter__(self) -> Self:
        """Nothing is held between calls; a ``with`` block only says how long the client is meant to be used."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""

    def status(self) -> dict[str, Any]:
        """State, reason, since, next transition, cameras by state, dependencies, backlog."""
        return self._connection.call("GET", "/api/v1/status")

    def license_status(self) -> dict[str, Any]:
        """Every camera's license."""
        return self._connection.call("GET", "/api/v1/license/status")

    def validate(self, camera: str, *, wait: float = 0) -> dict[str, Any]:
        """A camera's license; ``wait`` up to 5 s for a fresh word of the billing service."""
        return self._connection.call("POST", _path("license/validate", camera) + _query(wait=wait), patience=wait)

    def refresh(self, *, wait: float = 0) -> dict[str, Any]:
        """Ask for every camera now; ``round`` says what came within ``wait`` (up to 5 s), else ``None``."""
        return self._connection.call("POST", "/api/v1/license/refresh" + _query(wait=wait), patience=wait)

    def request_leases(self) -> dict[str, Any]:
        """A request to carry to the billing service by hand; from now on only its answer may be imported."""
        return self._connection.call("POST", "/api/v1/license/request")

    def withdraw_request(self) -> dict[str, Any]:
        """Await no answer any more; ``withdrawn`` says whether one was awaited."""
        return self._connection.call("DELETE", "/api/v1/license/request")

    def import_leases(self, text: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Take over the leases of a file, all or none, or only say what that would do.

        Raises ``RejectedError`` with code ``lease_refused`` when one of them is not genuine, not for this box, not the
        answer awaited, or older than what is known.
        """
        return self._connection.send_text("/api/v1/license/import" + _query(dry_run=dry_run or None), text)

    def explain(self, camera: str | None = None) -> dict[str, Any]:
        """Why a camera, or the tenant itself, stands as it does, what comes next and what to do."""
        return self._connection.call("GET", "/api/v1/license/explain" + _query(camera_id=camera))

    def simulate(
        self, camera: str | None = None, *, offline_s: float | None = None, at: datetime | None = None
    ) -> dict[str, Any]:
        """The states if the link were lost now, for so long or until then; of a camera, or of all."""
        until = at and at.isoformat()
        query = _query(camera_id=camera, offline_s=offline_s, at=until)
        return self._connection.call("GET", "/api/v1/license/simulate" + query)

    def license_history(self, camera: str | None = None, *, limit: int | None = None) -> dict[str, Any]:
        """The newest changes of state of a camera, or of all of this device, newest first."""
        return self._connection.call("GET", "/api/v1/license/history" + _query(camera_id=camera, limit=limit))

    def heartbeat(self) -> dict[str, Any]:
        """Tell the billing service now that this device is alive."""
        return self._connection.call("POST", "/api/v1/license/heartbeat", patience=_LONG)

    def entitlements(self, camera: str | None = None) -> dict[str, Any]:
        """Every feature's decision, for a camera or the tenant."""
        return self._connection.call("GET", "/api/v1/entitlements" + _query(camera=camera))

    def check(self, feature: str, camera: str | None = None) -> dict[str, Any]:
        """The decision on one feature: ``allowed``, ``reason``, ``warning`` and where it comes from."""
        return self._connection.call("POST", "/api/v1/check", {"feature": feature, "camera_id": camera})

    def record(
        self,
        event_type: str,
        quantity: Decimal | int | str = 1,
        *,
        dedupe_key: str | None = None,
        event_time: datetime | None = None,
        **fields: object,
    ) -> dict[str, Any]:
        """Record one usage event; it is durable when this returns.

        Key and time are fixed before the first send and reused, so a lost reply cannot count twice. After an
        ``UnavailableError`` the event may have been recorded or not: who wants to ask again later brings a
        ``dedupe_key`` and an aware ``event_time`` (together, or ``InvalidInputError``) and uses both again. ``fields``
        are the optional ones of the API: tenant_id, camera_id, resource_id, resource_type, unit, billable, metadata,
        corrects.
        """
        event = {"event_type": event_type, "quantity": str(quantity), **fields}
        fixed = _fixed({**event, "dedupe_key": dedupe_key, "event_time": event_time})
        try:
            return self._post_usage(fixed)
        except RejectedError as error:
            if error.code not in _WRONG_CLOCK or event_time:
                raise
        # The application's clock is wrong, and this event is refused for it: the agent knows a better time.
        return self._post_usage({**fixed, "event_time": self.status()["clock"]["trusted_now"]})

    def record_many(self, events: Sequence[Mapping[str, object]]) -> dict[str, Any]:
        """Record up to 1000 events, each the API's JSON object; ``results`` says what became of each, in order.

        Keys and times are fixed as in ``record``. Raises ``RejectedError`` when none was kept.
        """
        return self._post_usage([_fixed(event) for event in events])

    def summary(self, tenant: str | None = None) -> dict[str, Any]:
        """Counts and quantities by tenant, meter and UTC day, spooled events included."""
        return self._connection.call("GET", "/api/v1/usage/summary" + _query(tenant=tenant))

    def flush(self) -> dict[str, Any]:
        """Drain, seal and send now."""
        return self._connection.call("POST", "/api/v1/usage/flush", patience=_BACKLOG)

    def cameras(self, device: str | None = None) -> dict[str, Any]:
        """Every camera of the tenant, or of one device, with its components and zones."""
        return self._connection.call("GET", "/api/v1/cameras" + _query(device=device))

    def camera(self, camera: str) -> dict[str, Any]:
        """One camera."""
        return self._connection.call("GET", _path("cameras", camera))

    def put_camera(self, setup: Mapping[str, object]) -> dict[str, Any]:
        """Make a camera, or put this in the place of what was known of it; returns it as it is kept."""
        return self._connection.call("POST", "/api/v1/cameras", setup)

    def patch_camera(self, camera: str, members: Mapping[str, object]) -> dict[str, Any]:
        """Replace these members of a camera, each whole; returns it as it is now."""
        return self._connection.call("PATCH", _path("cameras", camera), members)

    def delete_camera(self, camera: str, device: str | None = None) -> dict[str, Any]:
        """Forget a camera of this device, or of ``device``, which is gone. What it has seen stays."""
        return self._connection.call("DELETE", _path("cameras", camera) + _query(device=device))

    def costs(self) -> dict[str, Any]:
        """What a month is expected to cost, by the price list."""
        return self._connection.call("GET", "/api/v1/costs")

    def plugins(self) -> dict[str, Any]:
        """What is loaded, what is disabled and why."""
        return self._connection.call("GET", "/api/v1/plugins")

    def reload_plugins(self) -> dict[str, Any]:
        """Load what was installed since; ``came`` names what runs now and did not before."""
        return self._connection.call("POST", "/api/v1/plugins/reload", patience=_LONG)

    def doctor(self) -> dict[str, Any]:
        """Examine the agent and its plugins."""
        return self._connection.call("GET", "/api/v1/doctor", patience=_LONG)

    def _post_usage(self, document: object) -> dict[str, Any]:
        return self._connection.call("POST", "/api/v1/usage/events", document)


def _fixed(event: Mapping[str, object]) -> dict[str, object]:
    """The event with what makes it the same event when it is sent again. A time is never made up for a given key."""
    given = {name: value for name, value in event.items() if value is not None}
    if not given.get("dedupe_key"):
        now = datetime.now(UTC)  # noqa: TID251 - the client runs inside applications, which have no Clock
        return {"event_time": now.isoformat(), **given, "dedupe_key": uuid4().hex}
    if "event_time" not in given:
        raise InvalidInputError(
            "a dedupe_key needs the event_time that belongs to it",
            code="TIME_MISSING",
            pointer="#/event_time",
            fix="fix key and time when the event happens, and use both again whenever it is sent",
        )
    return given


def _path(room: str, camera: str) -> str:
    return f"/api/v1/{room}/{quote(camera, safe='', errors='surrogateescape')}"


def _query(**given: object) -> str:
    known = {name: value for name, value in given.items() if value not in {None, ""}}
    return "?" + urlencode(known, errors="surrogateescape") if known else ""
