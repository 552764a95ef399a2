"""The things that are licensed, as values: features and the growth packs that sell them. Plugins declare them.

Owns what a well-formed feature or pack is. How declarations fit together is ``domain.catalog``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.license import LicenseMode  # noqa: TC001 - what plugins return is validated by these annotations

_FEATURE_KEY = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_PACK_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


class OnExpired(StrEnum):
    """What becomes of a feature once the license has expired."""

    STOP = "stop"
    KEEP = "keep"
    """Goes on for ever: what protects people (a privacy mask) must not end with a license."""


class Scope(StrEnum):
    """Whom a pack is sold to."""

    CAMERA = "camera"
    TENANT = "tenant"
    INDUSTRY = "industry"


class Tier(StrEnum):
    """How capable a component may be; a license mode maps to one."""

    BASIC = "basic"
    STANDARD = "standard"
    PROFESSIONAL = "professional"

    @property
    def rank(self) -> int:
        """0 for basic to 2 for professional."""
        return list(Tier).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Something an application asks for by ``key`` (``category.name``).

    A feature is sold by the packs that list it, unless ``min_tier`` makes it a component (source, processor, sink): a
    component comes with the license's tier, and needs a pack only when ``requires_pack`` names one. ``min_mode`` is the
    least mode that may use it. ``meter`` is what using it consumes: the feature is denied while that meter's hard quota
    is used up. ``description`` is for people; it is no part of a feature's meaning.
    """

    key: str
    description: str = field(default="", compare=False)
    on_expired: OnExpired = OnExpired.STOP
    min_tier: Tier | None = None
    min_mode: LicenseMode | None = None
    requires_pack: str | None = None
    meter: str | None = None

    def __post_init__(self) -> None:
        """Refuse a key that no application could ask for."""
        if not _FEATURE_KEY.fullmatch(self.key):
            raise InvalidInputError(
                f"feature key {self.key!r} does not match {_FEATURE_KEY.pattern}",
                code="feature_key",
                pointer="#/key",
                fix="name it category.name in lower case, such as analytics.heatmap",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPack:
    """Features sold together. The billing service calls a pack by its slug or its title; prices are configuration."""

    slug: str
    title: str
    scope: Scope = Scope.CAMERA
    features: frozenset[str]

    def __post_init__(self) -> None:
        """Refuse a slug that is not its own normalized name."""
        if not _PACK_SLUG.fullmatch(self.slug):
            raise InvalidInputError(
                f"pack slug {self.slug!r} does not match {_PACK_SLUG.pattern}",
                code="pack_slug",
                pointer="#/slug",
                fix="write it in lower case with underscores, such as advanced_analytics",
            )
