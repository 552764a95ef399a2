"""Caching: values in memory over a store that agents share, and the word among them that something has changed.

``two_level`` is the cache: one load per key at a time, over ``memory`` and ``shared``. ``invalidation`` tells other
agents what to forget, and hears it from them. ``values`` are its settings and what is remembered (ADR 0015, 0016).
"""

from __future__ import annotations

from tapi_agent.services.caching.invalidation import Invalidator
from tapi_agent.services.caching.two_level import TwoLevelCache
from tapi_agent.services.caching.values import CachePolicy, Codec, Surroundings

__all__ = ["CachePolicy", "Codec", "Invalidator", "Surroundings", "TwoLevelCache"]
