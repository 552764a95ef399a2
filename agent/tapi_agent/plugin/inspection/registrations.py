"""What a plugin adds, when each part is well-formed: does it fit together, and does it do anything?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tapi_agent.plugin.inspection.finding import Finding, error, warning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from tapi_agent.plugin.contribution import Contribution
    from tapi_agent.plugin.inspection.loading import Loaded

_UNIT = re.compile(r"[a-z][a-z0-9_]*")


def examine(loaded: Loaded, installed: Sequence[Loaded]) -> Iterator[Finding]:
    """The findings on one plugin, among these others."""
    everything = [loaded.contribution, *(other.contribution for other in installed)]
    meters = {meter.key for one in everything for meter in one.meters}
    yield from _features(loaded.contribution, meters)
    yield from _packs(loaded.contribution)
    yield from _meters(loaded.contribution)


def _features(added: Contribution, meters: Collection[str]) -> Iterator[Finding]:
    sold = {key for pack in added.packs for key in pack.features}
    for feature in added.features:
        if feature.min_tier is None and feature.key not in sold:
            yield warning(
                feature.key,
                "no pack of this plugin sells it: nobody may ever use it",
                "list it in a pack, or give it a min_tier",
            )
        if feature.meter is not None and feature.meter not in meters:
            yield error(feature.key, f"its meter {feature.meter} is unknown", "declare it in register_meters")


def _packs(added: Contribution) -> Iterator[Finding]:
    for pack in added.packs:
        if not pack.features:
            yield warning(pack.slug, "it sells no feature", "list the features, or leave the pack out")


def _meters(added: Contribution) -> Iterator[Finding]:
    collects = "collect_usage" in added.hooks
    for meter in added.meters:
        if not _UNIT.fullmatch(meter.unit):
            yield warning(
                meter.key, f"its unit {meter.unit!r} is unlike the others", "lower case, such as count or gb_days"
            )
        if meter.every is not None and not collects:
            yield warning(
                meter.key, "it has an every, and nobody to ask", "implement collect_usage, or leave every out"
            )
    if collects and not any(meter.every for meter in added.meters):
        yield warning("collect_usage", "it is never called", "say how often: Meter(..., every=timedelta(...))")
