"""What a plugin's packs unlock, without a running agent: the catalog as the host loads it, under the agent's own rules.

For the tests of a plugin that only declares; ``testing.tapi`` is the whole agent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.entitlement import Rulebook, decide
from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.holder import holder_of
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Contact, Evidence, LicenseMode, Subject
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tapi_agent.domain.decision import Decision
    from tapi_agent.domain.holder import Holder
    from tapi_agent.ports.plugins import PluginReport

_BASE: Final = "base-catalog"
_NOW: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
_CAMERA: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("gate"))


class Shop:
    """The base catalog and one installed plugin, and a camera that buys there. Close it, for the plugin's thread."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._host = PluginHost(disabled={one.name for one in discover()} - {_BASE, plugin})
        self.declarations = self._host.load()
        self.catalog = self.declarations.catalog

    @property
    def report(self) -> PluginReport:
        """How the plugin was loaded."""
        return next(report for report in self._host.report() if report.name == self._plugin)

    def decisions(self, features: Iterable[str], *, packs: Iterable[str] = ()) -> list[Decision]:
        """What a camera may use whose license is base with these packs, named by slug or title."""
        rules, holder = Rulebook(catalog=self.catalog), self._holder(packs)
        return [decide(feature, rules, holder) for feature in features]

    def close(self) -> None:
        """Let the plugin's thread end."""
        self._host.close()

    def _holder(self, packs: Iterable[str]) -> Holder:
        word = Evidence(subject=_CAMERA, mode=LicenseMode.BASE, verified_at=_NOW, packs=tuple(packs))
        standing = evaluate(word, now=_NOW, contact=Contact(attempted=True))
        return holder_of(word, standing, catalog=self.catalog, tiers={})
