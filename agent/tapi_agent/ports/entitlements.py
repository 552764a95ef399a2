"""What deciding about features needs to know of licenses. ``services.licensing`` is it in the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence, Standing


class HeldLicense(Protocol):
    """How one camera, or the tenant, stands: its own evidence, for a camera without any the tenant's, or none."""

    @property
    def evidence(self) -> Evidence | None:
        """The word that the standing rests on."""
        ...

    @property
    def standing(self) -> Standing:
        """The verdict when it was last computed; past its ``next_transition`` it is out of date."""
        ...

    @property
    def tier(self) -> str | None:
        """Name of the tier that the evidence came from."""
        ...


class Licenses(Protocol):
    """All licenses of this device. Every call is a lookup in memory."""

    @property
    def generation(self) -> int:
        """Rises whenever any evidence, any standing or the list of cameras changes."""
        ...

    def cameras(self) -> Sequence[CameraId]:
        """Every camera this device knows."""
        ...

    def view(self, camera_id: CameraId) -> HeldLicense:
        """How a camera stands; an empty id asks for the tenant."""
        ...
