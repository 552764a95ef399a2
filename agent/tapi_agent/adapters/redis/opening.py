"""From a URL to clients: how to connect is decided once, and a client made from it whenever a new one is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from redis.exceptions import RedisClusterException

from tapi_agent.adapters.redis.address import FORMS, Layout, address
from tapi_agent.adapters.redis.cluster import cluster_client
from tapi_agent.adapters.redis.sentinel import sentinel_client
from tapi_agent.adapters.redis.server import server_client
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.adapters.redis.address import Address
    from tapi_agent.adapters.redis.client import Client


def opener(url: str, password: str | None) -> Callable[[], Client]:
    """A maker of clients for ``url``, which connect when first asked; ``password`` wins over the URL's.

    Raises ``ConfigurationError`` for a URL or an option that cannot be used, without quoting it.
    """
    try:
        at = address(url)
        if password:
            at = replace(at, options={**at.options, "password": password})
        _client(at)
    except (ValueError, TypeError, RedisClusterException):
        raise ConfigurationError("the Redis URL cannot be read", fix=f"write it as {FORMS}") from None
    return lambda: _client(at)


def _client(at: Address) -> Client:
    match at.layout:
        case Layout.SERVER:
            return server_client(at.options)
        case Layout.SENTINEL:
            return sentinel_client(at)
        case Layout.CLUSTER:
            return cluster_client(at)
