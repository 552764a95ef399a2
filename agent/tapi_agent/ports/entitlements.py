"""What deciding about features needs to know of licenses, of the service's words, and of quotas: lookups in memory.

In the agent they are ``services.licensing``, ``services.overrides`` and ``services.quotas``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tapi_agent.domain.decision import QuotaFigures
    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence, Standing
    from tapi_agent.domain.override import Override


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


class FeatureWords(Protocol):
    """What the billing service says of single features."""

    def interested(self, feature: str) -> None:
        """Somebody asks about this feature: from now on the service is asked, too."""
        ...

    def view(self) -> Mapping[str, Override]:
        """The words so far, by feature."""
        ...


class QuotaFiguresSource(Protocol):
    """What is left of the quotas."""

    def figures(self, meter: str) -> QuotaFigures | None:
        """How the meter's quota stands now; ``None`` where nothing limits it."""
        ...
