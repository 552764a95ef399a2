"""One catalog out of many declarations: which features and packs exist, who declared them, and what is a conflict.

Owns the merging and the names of packs. Who holds what is ``domain.entitlement``. The plugin host builds the catalog at
start; the entitlement service reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tapi_agent.domain.features import Feature, GrowthPack

_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one plugin adds. Only a first-party ``source`` may sell features that another plugin declared."""

    source: str
    first_party: bool = False
    features: tuple[Feature, ...] = ()
    packs: tuple[GrowthPack, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """Every known feature by key and pack by slug.

    ``sources`` says which plugin declared each first; ``aliases`` gives the slug for every normalized slug and title;
    ``offers`` the slugs of the packs that list a feature.
    """

    features: Mapping[str, Feature] = field(default_factory=dict)
    packs: Mapping[str, GrowthPack] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def extended(self, declaration: Declaration) -> Catalog:
        """A catalog with the declaration in it; exact repeats of what is known are welcome.

        Raises ``RejectedError`` when a key or name already means something else, a pack is unknown or lists an unknown
        feature, or a plugin that is not first-party sells another's feature: a denial would become a permission.
        """
        features = self._merged(self.features, ((one.key, one) for one in declaration.features))
        packs = self._merged(self.packs, ((one.slug, one) for one in declaration.packs))
        sources = dict.fromkeys((*features, *packs), declaration.source) | dict(self.sources)
        offers = {key: tuple(slug for slug, pack in packs.items() if key in pack.features) for key in features}
        grown = Catalog(
            features=features, packs=packs, sources=sources, aliases=_aliases(packs.values()), offers=offers
        )
        _check_requirements(grown, declaration)
        _check_sales(grown, declaration)
        return grown

    def offering(self, feature: Feature) -> tuple[str, ...]:
        """Slugs of the packs any one of which would unlock a feature."""
        return self.offers[feature.key] if feature.requires_pack is None else (feature.requires_pack,)

    def resolve(self, names: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Slugs of the known packs, and the names that nobody here knows (they grant nothing).

        Names come as the billing service wrote them, slug or title: this is the one place that normalizes them.
        """
        found = {name: self.aliases.get(_normal(name)) for name in names}
        known = frozenset(slug for slug in found.values() if slug is not None)
        return known, frozenset(name for name, slug in found.items() if slug is None)

    def _merged(self, known: Mapping[str, _T], declared: Iterable[tuple[str, _T]]) -> dict[str, _T]:
        merged = dict(known)
        for name, value in declared:
            if merged.setdefault(name, value) != value:
                owner = self.sources.get(name, "the same plugin")
                raise _conflict(f"{name} is already declared by {owner} with another meaning")
        return merged


def _aliases(packs: Iterable[GrowthPack]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for pack in packs:
        for name in (pack.slug, _normal(pack.title)):
            if aliases.setdefault(name, pack.slug) != pack.slug:
                raise _conflict(f"packs {aliases[name]} and {pack.slug} share the name {name!r}")
    return aliases


def _check_requirements(catalog: Catalog, declaration: Declaration) -> None:
    for feature in declaration.features:
        if feature.requires_pack is not None and feature.requires_pack not in catalog.packs:
            raise _conflict(f"feature {feature.key} requires the unknown pack {feature.requires_pack}")


def _check_sales(catalog: Catalog, declaration: Declaration) -> None:
    for slug, key in _sales(catalog, declaration):
        owner = catalog.sources.get(key)
        if owner is None:
            raise _conflict(f"pack {slug} lists the unknown feature {key}")
        if owner != declaration.source and not declaration.first_party:
            raise _conflict(f"pack {slug} sells {key}, which belongs to {owner}")


def _sales(catalog: Catalog, declaration: Declaration) -> Iterator[tuple[str, str]]:
    """Each feature in each pack that this declaration is the first to name."""
    for pack in declaration.packs:
        if catalog.sources[pack.slug] == declaration.source:
            yield from ((pack.slug, key) for key in sorted(pack.features))


def _normal(name: str) -> str:
    """``Advanced Analytics``, ``advanced-analytics`` and ``advanced_analytics`` are one; ``Base+`` is not ``base``."""
    return _BETWEEN_WORDS.sub("_", name.casefold()).strip("_")


def _conflict(message: str) -> RejectedError:
    return RejectedError(message, code="catalog_conflict", fix="rename it, or declare exactly the same")
