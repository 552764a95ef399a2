"""Request files of agents that never reach the service, carried here by hand; the answer goes back the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import leases, subscriptions
from tapi_agent.sandbox.wire import Body, Components, Count, Nonce, Text

if TYPE_CHECKING:
    import sqlite3

    from tapi_agent.sandbox.leases import Draft


class Camera(Body):
    """A camera that wants a license, and the sequence of the lease of its own that the agent has (0: none)."""

    camera_id: Text
    sequence: Count = 0


class RequestFile(Body):
    """What the service makes use of in a request file."""

    version: Annotated[Literal[1], Field(alias="schema")]
    kind: Literal["tapi-license-request"]
    tenant_id: Text
    device_id: Text
    nonce: Nonce
    components: Components | None = None
    cameras: list[Camera] = Field(default_factory=list)


def draw_up(db: sqlite3.Connection, asked: RequestFile) -> list[Draft]:
    """The tenant's lease, and one for each camera that needs its own. Cameras take places as in validate.

    ``RejectedError`` ``not_found`` for an unknown tenant, ``unsigned`` for one that gets no leases.
    """
    if not subscriptions.tenant_exists(db, asked.tenant_id):
        raise RejectedError(f"there is no tenant {asked.tenant_id!r}", code="not_found")
    tenants = leases.draw_up(db, asked.tenant_id, asked.device_id, asked.components)
    if tenants is None:
        raise RejectedError(f"{asked.tenant_id!r} gets no leases; order some (POST /admin/leases)", code="unsigned")
    cameras = {camera.camera_id: camera for camera in asked.cameras}
    return [tenants, *(lease for camera in cameras.values() if (lease := _of_its_own(db, tenants, camera)))]


def _of_its_own(db: sqlite3.Connection, tenants: Draft, camera: Camera) -> Draft | None:
    """The lease of a camera with a subscription of its own or without a place; the others share the tenant's.

    One that had such a lease gets another all the same: on the agent, a camera's own lease stands above the tenant's,
    and an old no must not outlive its cause.
    """
    subscriptions.register(db, tenants.tenant_id, camera.camera_id)
    held = subscriptions.license_of(db, tenants.tenant_id, camera.camera_id)
    own = subscriptions.subscription(db, tenants.tenant_id, camera.camera_id)
    return tenants.on(camera.camera_id, held) if own or camera.sequence or held != tenants.held else None
